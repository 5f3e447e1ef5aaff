// model.run: tools called, their answers fed back, what goes wrong told to the model, limits and abort.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './bench.mjs';
import { call, scriptedModel } from './scripted.mjs';

/** Calls two tools at once, then, told ①, a third; told ②, it answers; told ③, it writes a call that is none; told ④, it says sorry. */
const AGENT = scriptedModel({
  thinking: ['Hm', ',', ' tools'],
  answer: ['<tool_call>', call('order', { id: 'A7' }), '</tool_call>', '<tool_call>', call('stock', { item: 'cup', count: 2 }), '</tool_call>'],
  turns: [
    { after: '①', answer: ['Paid', '<tool_call>', call('refund', { id: 'A7' }), '</tool_call>'] },
    { after: '②', answer: ['All', ' is', ' well'] },
    { after: '③', answer: ['<tool_call>', '{"order": A7', '</tool_call>'] },
    { after: '④', answer: ['Sorry'] },
  ],
  context: 2560,
});
const USER = [{ role: 'user', content: 'Where is my order?' }];

let bench;
let page;
before(async () => {
  bench = await start();
  bench.server.routes.set('/agent.gguf', (_, response) => response.end(AGENT));
  page = await bench.page();
  await page.evaluate(async () => {
    globalThis.model = await qwen3.loadModel('/agent.gguf', { device: 'cpu', cache: 'none', contextLength: 2560 });
    const object = (properties) => ({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false });
    /** The tools of the shop, some of them replaced. */
    globalThis.shop = (replaced = {}) => Object.entries({
      order: { parameters: object({ id: { type: 'string', pattern: '^[A-Z]\\d$' } }), execute: ({ id }) => ({ id, state: '①' }) },
      stock: { parameters: object({ item: { enum: ['cup', 'mug'] }, count: { type: 'integer', minimum: 1 } }), execute: async () => 'none left' },
      refund: { description: 'Gives the money back', parameters: object({ id: { type: 'string' } }), execute: () => '②' },
      ...replaced,
    }).filter(([, tool]) => tool !== undefined).map(([name, tool]) => ({ name, ...tool }));
    globalThis.collect = async (reply) => {
      const events = [];
      for await (const event of reply) if (event.type !== 'prefill') events.push(event);
      return { events, result: await reply };
    };
  });
});
after(() => bench.stop());

const toolMessages = ({ messages }) => messages.filter(({ role }) => role === 'tool').map(({ content }) => content);

test('tools are called until there is an answer, with all of it in events and steps', async () => {
  const { events, result, prompt } = await page.evaluate(async (messages) => {
    const { events, result } = await collect(model.run(messages, { tools: shop(), maxSteps: 5, seed: 3 }));
    return { events, result, prompt: await model.applyChatTemplate(result.messages) };
  }, USER);
  const order = events.map(({ type, name, text }) => (type === 'toolCall' || type === 'toolResult' ? `${type} ${name}` : type === 'content' ? text : type))
    .filter((type, index, all) => type !== all[index - 1] && type !== 'toolCallDelta');
  assert.deepEqual(order, [
    'thinking', 'toolCall order', 'toolCall stock', 'toolResult order', 'toolResult stock',
    'thinking', 'Paid', 'toolCall refund', 'toolResult refund', 'thinking', 'All', ' is', ' well', 'done',
  ]);
  assert.deepEqual(events.at(-1).result, result);
  assert.equal(result.content, 'All is well');
  assert.equal(result.finishReason, 'stop');
  assert.deepEqual(result.toolCalls, []);
  assert.deepEqual(result.steps.map(({ finishReason, toolResults }) => [finishReason, toolResults.length]), [['toolCalls', 2], ['toolCalls', 1], ['stop', 0]]);
  assert.deepEqual(result.messages.map(({ role }) => role), ['user', 'assistant', 'tool', 'tool', 'assistant', 'tool', 'assistant']);
  assert.deepEqual(toolMessages(result), ['{"id":"A7","state":"①"}', 'none left', '②']);
  const ids = result.steps.flatMap(({ toolCalls }) => toolCalls.map(({ id }) => id));
  assert.equal(new Set(ids).size, 3);
  assert.deepEqual(result.messages.filter(({ role }) => role === 'tool').map(({ toolCallId }) => toolCallId), ids);
  // Qwen3's template keeps the thinking of all that follows the user's question.
  assert.equal(prompt.split('<think>\nHm, tools\n</think>').length - 1, 3);
  assert.ok(result.steps[1].usage.cachedTokens > result.steps[0].usage.promptTokens, 'a step goes on from the cache of the last one');
});

test('the calls of one turn run at the same time, and a result comes when it is there', async () => {
  const { events, result } = await page.evaluate((messages) => {
    let ordered;
    const stocked = new Promise((resolve) => { ordered = resolve; });
    return collect(model.run(messages, { tools: shop({
      // Each waits for the other: one after the other would never end.
      order: { execute: async () => { ordered(); await new Promise((resolve) => setTimeout(resolve, 30)); return '①②'; } },
      stock: { execute: async () => { await stocked; return 'none'; } },
    }) }));
  }, USER);
  assert.deepEqual(events.filter(({ type }) => type === 'toolResult').map(({ name }) => name), ['stock', 'order']);
  assert.deepEqual(toolMessages(result), ['①②', 'none'], 'the model sees them in the order of the calls');
});

test('what a tool throws, arguments that do not fit, and unknown tools are told to the model', async () => {
  const { texts, executed, errors } = await page.evaluate(async (messages) => {
    const texts = [];
    const executed = [];
    const once = async (tools) => {
      const result = await model.run(messages, { tools, maxSteps: 2 });
      texts.push(result.steps[0].toolResults.filter(({ isError }) => isError).map(({ content }) => content));
      return result;
    };
    await once(shop({ order: { execute: () => { throw new RangeError('no such order'); } } }));
    await once(shop({ order: { parameters: { type: 'object', properties: { id: { type: 'integer' } } }, execute: () => executed.push('order') } }));
    await once(shop({ stock: {
      parameters: { type: 'object', properties: { item: { $ref: '#/$defs/item' }, count: { maximum: 1 } }, required: ['size'], $defs: { item: { const: 'mug' } } },
      execute: () => executed.push('stock'),
    } }));
    await once(shop({ stock: undefined }));
    const { content } = await model.run(messages, { tools: shop({ order: { execute: async () => { throw 'broken ④'; } } }) });
    return { texts, executed, errors: content };
  }, USER);
  assert.deepEqual(executed, []);
  assert.deepEqual(texts[0], ['Error: no such order']);
  assert.match(texts[1][0], /^Error: the arguments do not fit the parameters of order: #\/id: .*"integer"/);
  assert.match(texts[2][0], /size/);
  assert.match(texts[2][0], /#\/item: .*"mug"/);
  assert.match(texts[2][0], /#\/count: .*1/);
  assert.deepEqual(texts[3], ['Error: there is no tool named "stock"; there are order, refund.']);
  assert.equal(errors, 'Sorry');
});

test('a call that cannot be read goes back to the model as an error', async () => {
  const { events, result } = await page.evaluate((messages) => collect(model.run([{ role: 'user', content: '③' }, ...messages], { tools: shop(), maxSteps: 2 })), USER);
  assert.equal(events.filter(({ type, code }) => type === 'notice' && code === 'malformed-tool-call').length, 2);
  assert.equal(result.steps.length, 2);
  assert.match(toolMessages(result)[0], /^Error: the text between <tool_call> and <\/tool_call> is not a call/);
});

test('the run ends at maxSteps, and at a call of a tool that is the caller\'s', async () => {
  const [limited, own] = await page.evaluate(async (messages) => {
    const executed = [];
    const note = (name) => ({ execute: () => executed.push(name) });
    const limited = await model.run(messages, { tools: shop({ order: note('order') }), maxSteps: 1 });
    const own = await model.run(messages, { tools: shop({ order: note('order'), stock: {} }) });
    return [{ ...limited, executed }, own];
  }, USER);
  for (const result of [limited, own]) {
    assert.equal(result.finishReason, 'toolCalls');
    assert.deepEqual(result.toolCalls.map(({ name }) => name), ['order', 'stock']);
    assert.equal(result.messages.at(-1).role, 'assistant');
  }
  assert.deepEqual(limited.executed, []);
});

test('abort ends the run while it writes, and while a tool is at work', async () => {
  const { writing, working, before, heard, goesOn } = await page.evaluate(async (messages) => {
    const reply = model.run(messages, { tools: shop() });
    reply.on('thinking', () => reply.abort());
    const writing = await reply;
    const controller = new AbortController();
    let heard;
    const working = await model.run(messages, { signal: controller.signal, tools: shop({ stock: { execute: (_, { signal }) => new Promise(() => {
      signal.addEventListener('abort', () => { heard = true; });
      setTimeout(() => controller.abort(), 20);
    }) } }) });
    const before = await model.run(messages, { signal: AbortSignal.abort(), tools: shop() });
    const goesOn = await model.run(working.messages, { tools: shop() });
    return { writing, working, before, heard, goesOn };
  }, USER);
  assert.deepEqual([writing, working, before].map(({ finishReason, steps }) => [finishReason, steps.length]), [['abort', 1], ['abort', 1], ['abort', 1]]);
  assert.equal(heard, true);
  assert.deepEqual(working.steps[0].toolResults.map(({ name }) => name), ['order']);
  assert.equal(goesOn.content, 'All is well');
});

test('options that are wrong are told by name, value and range', async () => {
  const failures = await page.evaluate(async (messages) => Promise.all([
    undefined, { maxSteps: 1 }, { tools: 'order' }, { tools: [{}] }, { tools: [{ name: 'a', execute: 'b' }] }, { tools: [{ name: 'a', parameters: 'b' }] },
    { tools: [{ name: 'a' }, { name: 'a' }] }, { tools: [], maxSteps: 0 }, { tools: [], maxSteps: '3' }, { tools: [], signal: {} }, { tools: [], topP: 7 },
    { tools: [], tempreature: 1 }, { tools: [{ name: 'a', parameters: { $ref: '#/$defs/none' } }] },
  ].map(async (options) => (await attempt(async () => model.run(messages, options))))), USER);
  for (const failure of failures) assert.equal(failure.code, 'invalid-argument', JSON.stringify(failure));
  const said = failures.map(({ message }) => message);
  [/tools/, /tools .* got null/, /tools .*execute.* got 'order'/, /tools/, /tools/, /tools/, /'a'/, /maxSteps .*at least 1, got 0/, /maxSteps .*'3'/, /signal/, /topP/, /tempreature/, /tool a/]
    .forEach((pattern, index) => assert.match(said[index], pattern));
});

test('nothing of all this made the browser complain', () => {
  assert.deepEqual(page.complaints, []);
});
