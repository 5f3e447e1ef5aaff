// languageModel: the shape of the browser's Prompt API on a model in the page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './bench.mjs';
import { call, scriptedModel } from './scripted.mjs';

/** Answers by what it was told: ① was said before, ② now, ③ asks for a tool that says ④. */
const MEMORY = scriptedModel({
  thinking: ['Hm'],
  answer: ['Nothing', ' yet'],
  turns: [
    { after: '①', answer: ['You', ' said', ' one'] }, { after: '②', answer: ['And', ' two'] },
    { after: '③', answer: ['<tool_call>', call('look', { at: 'sky' }), '</tool_call>'] }, { after: '④', answer: ['It', ' is', ' blue'] },
  ],
  context: 1024,
});

let bench;
let page;
before(async () => {
  bench = await start();
  bench.server.routes.set('/memory.gguf', (_, response) => response.end(MEMORY));
  page = await bench.page();
  await page.evaluate(async () => {
    globalThis.model = await qwen3.loadModel('/memory.gguf', { device: 'cpu', cache: 'none' });
    globalThis.endless = await qwen3.loadModel('/endless.gguf', { device: 'cpu', cache: 'none' });
    globalThis.fails = async (work) => {
      try {
        await work();
      } catch (error) {
        return error.name;
      }
      return 'nothing';
    };
  });
});
after(() => bench.stop());

test('a session keeps the conversation, counts it, and its clones go their own way', async () => {
  const r = await page.evaluate(async () => {
    const session = qwen3.languageModel(model, { initialPrompts: [{ role: 'system', content: 'Be brief.' }] });
    const first = await session.prompt('hello');
    const used = session.contextUsage;
    const measured = await session.measureContextUsage('①');
    const clone = await session.clone();
    const second = await session.prompt([{ role: 'user', content: [{ type: 'text', value: '①' }] }]);
    const other = await clone.prompt('hello again');
    const appended = await clone.append([{ role: 'user', content: '②' }, { role: 'assistant', content: 'I see' }]);
    const grown = clone.contextUsage;
    const third = await clone.prompt('and?');
    const fresh = await (await session.create()).prompt('hello');
    return { first, second, other, third, fresh, used, measured, grown, appended, window: session.contextWindow, available: await session.availability(), now: session.contextUsage };
  });
  assert.deepEqual([r.first, r.second, r.other, r.third, r.fresh], ['Nothing yet', 'You said one', 'Nothing yet', 'And two', 'Nothing yet']);
  assert.equal(r.window, 1024);
  assert.equal(r.available, 'available');
  assert.equal(r.appended, undefined);
  assert.ok(r.used > 20 && r.now > r.used + r.measured && r.measured > 5 && r.grown > r.used, JSON.stringify(r));
});

test('an answer streams as text, and prompts that overlap wait for each other', async () => {
  const r = await page.evaluate(async () => {
    const session = qwen3.languageModel(model, { enableThinking: false });
    const pieces = [];
    const reading = (async () => { for await (const piece of session.promptStreaming('hello')) pieces.push(piece); })();
    const second = session.prompt('①');
    await reading;
    return { pieces, second: await second };
  });
  assert.deepEqual(r, { pieces: ['Nothing', ' yet'], second: 'You said one' });
});

test('a constraint holds, a prefix goes on, tools are called', async () => {
  const r = await page.evaluate(async () => {
    const session = qwen3.languageModel(model, { maxTokens: 200 });
    const schema = { type: 'object', properties: { mood: { enum: ['good', 'bad'] } }, required: ['mood'], additionalProperties: false };
    const json = JSON.parse(await session.prompt('mood?', { responseConstraint: schema }));
    const regex = await session.prompt('number?', { responseConstraint: /[0-9]{2}-[a-c]/ });
    const prefixed = await qwen3.languageModel(model).prompt([{ role: 'user', content: 'go on' }, { role: 'assistant', content: 'So:\n\n', prefix: true }]);
    const looked = [];
    const withTools = qwen3.languageModel(model, { tools: [{ name: 'look', description: 'Looks', inputSchema: { type: 'object', properties: { at: { type: 'string' } } }, execute: async ({ at }) => { looked.push(at); return '④'; } }] });
    return { json, regex, prefixed, tool: await withTools.prompt('③'), looked };
  });
  assert.ok(['good', 'bad'].includes(r.json.mood));
  assert.match(r.regex, /^[0-9]{2}-[a-c]$/);
  assert.equal(r.prefixed, 'Nothing yet');
  assert.deepEqual([r.tool, r.looked], ['It is blue', ['sky']]);
});

test('a conversation that grows too long loses its oldest turns, and says so', async () => {
  const r = await page.evaluate(async () => {
    const session = qwen3.languageModel(model, { enableThinking: false });
    let overflows = 0;
    session.addEventListener('contextoverflow', () => { overflows += 1; });
    await session.prompt('① '.repeat(120));
    await session.prompt('word '.repeat(70));
    const answer = await session.prompt('word '.repeat(60));
    return { answer, overflows, tooLong: await fails(() => session.prompt('word '.repeat(400))), usage: session.contextUsage };
  });
  assert.equal(r.answer, 'Nothing yet', 'the first turn is gone');
  assert.ok(r.overflows >= 1);
  assert.equal(r.tooLong, 'QuotaExceededError');
  assert.ok(r.usage < 1024);
});

test('failures have the names the browser gives them', async () => {
  const names = await page.evaluate(async () => {
    const session = qwen3.languageModel(endless);
    const reason = new DOMException('enough', 'TimeoutError');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    const names = [
      await fails(() => session.prompt('hi', { signal: controller.signal })),
      await fails(() => session.prompt('hi', { signal: AbortSignal.abort() })),
      await fails(() => session.prompt([{ role: 'system', content: 'late' }, { role: 'system', content: 'later' }])),
      await fails(() => session.prompt([{ role: 'user', content: [{ type: 'image', value: null }] }])),
      await fails(() => session.prompt([{ role: 'user', content: 'x', prefix: true }])),
      await fails(() => session.prompt('hi', { responseConstraint: { type: 'thing' } })),
      await fails(() => qwen3.languageModel(endless, { initialPrompts: [{ role: 'user', content: 'a' }, { role: 'system', content: 'b' }] })),
    ];
    const reader = session.promptStreaming('hi').getReader();
    await reader.read();
    const pending = fails(() => session.prompt('waiting'));
    session.destroy();
    const after = await fails(() => session.prompt('hi'));
    const other = await qwen3.languageModel(endless, { maxTokens: 3, enableThinking: false }).prompt('hi');
    return { names, pending: await pending, streamed: await fails(async () => { for (;;) if ((await reader.read()).done) return; }), after, other };
  });
  assert.deepEqual(names.names, ['TimeoutError', 'AbortError', 'TypeError', 'NotSupportedError', 'SyntaxError', 'NotSupportedError', 'TypeError']);
  assert.deepEqual([names.pending, names.streamed, names.after], ['AbortError', 'AbortError', 'InvalidStateError']);
  assert.equal(names.other, ' on and on');
});
