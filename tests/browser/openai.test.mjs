// The official OpenAI client works unchanged on a model in the page: chat, streams, tools, schemas, abort, errors.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ANSWER, start, THINKING, WEATHER } from './bench.mjs';
import { bundleClients } from './clients/bundle.mjs';

const messages = [{ role: 'user', content: 'What is 7 × 8 + 12?' }];

let bench;
let page;
before(async () => {
  bench = await start({ mounts: { '/clients/': await bundleClients() } });
  bench.server.routes.set('/weather.gguf', (_, response) => response.end(WEATHER));
  page = await bench.page();
  await page.evaluate(async () => {
    const { OpenAI, ...clients } = await import('/clients/clients.js');
    clients.z.config({ jitless: true });
    const load = (path) => qwen3.loadModel(path, { device: 'cpu', cache: 'none' });
    const models = { scripted: await load('/scripted.gguf'), endless: await load('/endless.gguf'), weather: await load('/weather.gguf') };
    const client = (model) => new OpenAI({ apiKey: 'local', baseURL: 'http://local/v1', fetch: qwen3.openAIFetch(model), dangerouslyAllowBrowser: true, maxRetries: 0 });
    Object.assign(globalThis, clients, { OpenAI, models, client, openai: client(models.scripted) });
    globalThis.refused = async (work) => {
      try {
        await work();
      } catch (error) {
        const { status, code, param, type, message } = error;
        return { kind: error.constructor.name, status, code, param, type, message };
      }
      throw new Error('nothing was refused');
    };
  });
});
after(() => bench.stop());

test('a chat completion, whole: thinking under both names, usage, a model list', async () => {
  const { completion, list, one } = await page.evaluate(async (messages) => ({
    completion: await openai.chat.completions.create({ model: 'scripted', messages, seed: 1 }),
    list: (await openai.models.list()).data,
    one: await openai.models.retrieve('scripted').catch(({ status }) => status),
  }), messages);
  const [{ message, finish_reason: reason }] = completion.choices;
  assert.deepEqual(message, { role: 'assistant', content: ANSWER, refusal: null, reasoning: THINKING, reasoning_content: THINKING });
  assert.equal(reason, 'stop');
  assert.equal(completion.object, 'chat.completion');
  assert.match(completion.id, /^chatcmpl-/);
  const { usage } = completion;
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.equal(usage.completion_tokens_details.reasoning_tokens, 6);
  assert.equal(list.length, 1);
  assert.equal(list[0].id, completion.model);
  assert.ok(one === 404 || one.id === 'scripted');
});

test('a stream of chunks adds up to the same, with its usage last', async () => {
  const { chunks, n } = await page.evaluate(async (messages) => {
    const collect = async (options) => {
      const chunks = [];
      for await (const chunk of await openai.chat.completions.create({ model: 'm', messages, stream: true, ...options })) chunks.push(chunk);
      return chunks;
    };
    return { chunks: await collect({ stream_options: { include_usage: true } }), n: await collect({ n: 2, chat_template_kwargs: { enable_thinking: false } }) };
  }, messages);
  const text = (field, index = 0, list = chunks) => list.flatMap(({ choices }) => choices).filter((choice) => choice.index === index).map(({ delta }) => delta[field] ?? '').join('');
  assert.equal(text('reasoning_content'), THINKING);
  assert.equal(text('reasoning'), THINKING);
  assert.equal(text('content'), ANSWER);
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.ok(chunks.length > 8, 'as it comes, not in one');
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 10);
  assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
  for (const index of [0, 1]) assert.equal(text('content', index, n), ANSWER);
  assert.equal(text('reasoning', 0, n), '');
  assert.ok(n.every(({ usage }) => usage === undefined));
});

test('the stream helper, with the events it makes of chunks', async () => {
  const { events, content, total } = await page.evaluate(async (messages) => {
    const events = [];
    const stream = openai.chat.completions.stream({ model: 'm', messages, stream_options: { include_usage: true } })
      .on('content.delta', ({ delta }) => events.push(delta));
    return { content: await stream.finalContent(), total: await stream.totalUsage(), events };
  }, messages);
  assert.equal(content, ANSWER);
  assert.equal(events.join(''), ANSWER);
  assert.ok(total.total_tokens > 20);
});

test('the tool runner carries out both calls of a turn and gets the answer', async () => {
  for (const stream of [false, true]) {
    const { asked, content, roles } = await page.evaluate(async ({ messages, stream }) => {
      const asked = [];
      const runner = client(models.weather).chat.completions.runTools({
        model: 'm', messages, stream,
        tools: [{ type: 'function', function: {
          name: 'weather', description: 'The weather now', parse: JSON.parse,
          parameters: { type: 'object', properties: { city: { type: 'string' } } },
          function: ({ city }) => { asked.push(city); return `sunny ①`; },
        } }],
      });
      return { content: await runner.finalContent(), asked, roles: runner.messages.map(({ role }) => role) };
    }, { messages, stream });
    assert.deepEqual(asked, ['Paris', 'Rome']);
    assert.equal(content, 'Sunny in both');
    assert.deepEqual(roles, ['user', 'assistant', 'tool', 'tool', 'assistant']);
  }
});

test('tool calls come whole, with null content; parallel_tool_calls: false passes one on', async () => {
  const { both, one, forbidden, streamed } = await page.evaluate(async (messages) => {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];
    const ask = async (options) => (await client(models.weather).chat.completions.create({ model: 'm', messages, tools, ...options })).choices[0];
    const streamed = [];
    for await (const { choices } of await client(models.weather).chat.completions.create({ model: 'm', messages, tools, stream: true, parallel_tool_calls: false })) streamed.push(choices[0]);
    return { both: await ask(), one: await ask({ parallel_tool_calls: false }), forbidden: await ask({ tool_choice: 'none' }), streamed };
  }, messages);
  assert.equal(both.finish_reason, 'tool_calls');
  assert.equal(both.message.content, null);
  assert.deepEqual(both.message.tool_calls.map(({ type, function: { name, arguments: args } }) => [type, name, args]), [['function', 'weather', '{"city":"Paris"}'], ['function', 'weather', '{"city":"Rome"}']]);
  assert.equal(one.message.tool_calls.length, 1);
  assert.equal(forbidden.message.tool_calls, undefined);
  assert.equal(streamed.flatMap(({ delta }) => delta.tool_calls ?? []).length, 1);
  assert.equal(streamed.at(-1).finish_reason, 'tool_calls');
});

test('options reach the model: length, stop, thinking off and limited, effort, log probabilities, n', async () => {
  const r = await page.evaluate(async (messages) => {
    const ask = async (options, system = []) => (await openai.chat.completions.create({ model: 'm', messages: [...system, ...messages], ...options })).choices;
    return {
      length: await ask({ max_completion_tokens: 3 }),
      stop: await ask({ stop: ['68'] }),
      off: await ask({ chat_template_kwargs: { enable_thinking: false } }),
      none: await ask({ reasoning_effort: 'none' }),
      budget: await ask({ thinking_token_budget: 2 }),
      logprobs: await ask({ logprobs: true, top_logprobs: 2, reasoning_effort: 'none', top_k: -1, temperature: 0.5 }),
      two: await ask({ n: 2, seed: 7 }, [{ role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] }]),
      text: await ask({ response_format: { type: 'text' } }),
    };
  }, messages);
  assert.equal(r.length[0].finish_reason, 'length');
  assert.equal(r.stop[0].message.content, ANSWER.slice(0, ANSWER.indexOf('68')));
  for (const [{ message }] of [r.off, r.none]) assert.deepEqual(message, { role: 'assistant', content: ANSWER, refusal: null });
  assert.equal(r.budget[0].message.reasoning, THINKING.slice(0, 5));
  assert.equal(r.logprobs[0].logprobs.content.map(({ token }) => token).join(''), ANSWER);
  for (const { token, logprob, bytes, top_logprobs: top } of r.logprobs[0].logprobs.content) {
    assert.ok(logprob <= 0 && logprob > -0.1);
    assert.equal(top.length, 2);
    assert.equal(top[0].token, token);
    assert.equal(Buffer.from(bytes).toString(), token);
  }
  assert.deepEqual(r.two.map(({ index, message }) => [index, message.content]), [[0, ANSWER], [1, ANSWER]]);
  assert.equal(r.text[0].message.content, ANSWER);
});

test('the parse helper gives an object of the schema, and a demanded tool is called', async () => {
  const { parsed, streamed, json, named } = await page.evaluate(async (messages) => {
    const schema = z.object({ mood: z.enum(['good', 'bad']), stars: z.number().int().min(1).max(5) });
    const format = { model: 'm', messages, response_format: zodResponseFormat(schema, 'review') };
    const { choices } = await client(models.weather).chat.completions.parse(format);
    const stream = client(models.weather).chat.completions.stream(format);
    const tools = [{ type: 'function', function: { name: 'rate', parameters: z.toJSONSchema(schema) } }];
    const demanded = await client(models.weather).chat.completions.create({ model: 'm', messages, tools, tool_choice: { type: 'function', function: { name: 'rate' } } });
    const json = await client(models.weather).chat.completions.create({ model: 'm', messages, response_format: { type: 'json_object' }, max_tokens: 60 });
    return { parsed: choices[0].message.parsed, streamed: (await stream.finalChatCompletion()).choices[0].message.parsed, json: json.choices[0], named: demanded.choices[0] };
  }, messages);
  for (const { mood, stars } of [parsed, streamed, JSON.parse(named.message.tool_calls[0].function.arguments)]) {
    assert.ok(['good', 'bad'].includes(mood) && Number.isInteger(stars) && stars >= 1 && stars <= 5, JSON.stringify({ mood, stars }));
  }
  assert.equal(named.message.tool_calls[0].function.name, 'rate');
  assert.equal(named.finish_reason, 'tool_calls');
  if (json.finish_reason === 'stop') assert.equal(typeof JSON.parse(json.message.content), 'object');
});

test('raw completions', async () => {
  const { whole, chunks } = await page.evaluate(async () => {
    const whole = await openai.completions.create({ model: 'm', prompt: ['anything\n\n', 'more\n\n'], logprobs: 1 });
    const chunks = [];
    for await (const chunk of await openai.completions.create({ model: 'm', prompt: 'anything\n\n', max_tokens: 3, stream: true })) chunks.push(chunk);
    return { whole, chunks };
  });
  assert.deepEqual(whole.choices.map(({ text, finish_reason: reason }) => [text, reason]), [[ANSWER, 'stop'], [ANSWER, 'stop']]);
  assert.equal(whole.choices[0].logprobs.tokens.join(''), ANSWER);
  assert.deepEqual(whole.choices[0].logprobs.text_offset.slice(0, 3), [0, 3, 10]);
  assert.equal(chunks.map(({ choices }) => choices[0].text).join(''), 'The answer is');
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
});

test('an abort ends the request and frees the model for the next', async () => {
  const seen = await page.evaluate(async (messages) => {
    const endless = client(models.endless);
    const stream = await endless.chat.completions.create({ model: 'm', messages, stream: true });
    let left = 0;
    for await (const _ of stream) if ((left += 1) === 5) break;
    const controller = new AbortController();
    const whole = endless.chat.completions.create({ model: 'm', messages }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    const kinds = [await refused(() => whole)];
    const helper = endless.chat.completions.stream({ model: 'm', messages }).on('content', () => helper.abort());
    kinds.push(await refused(() => helper.done()));
    kinds.push(await refused(() => endless.chat.completions.create({ model: 'm', messages }, { signal: AbortSignal.abort() })));
    const next = await endless.chat.completions.create({ model: 'm', messages, max_tokens: 4 });
    return { left, kinds: kinds.map(({ kind }) => kind), reason: next.choices[0].finish_reason };
  }, messages);
  assert.deepEqual(seen, { left: 5, kinds: Array(3).fill('APIUserAbortError'), reason: 'length' });
});

test('errors have OpenAI\'s shape: a status, the parameter by its own name, a code', async () => {
  const failures = await page.evaluate(async (messages) => {
    const ask = (options) => refused(() => openai.chat.completions.create({ model: 'm', messages, ...options }));
    const before = [
      await ask({ top_p: 7 }), await ask({ top_p: 7, stream: true }), await ask({ messages: [] }), await ask({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }),
      await ask({ messages: [{ role: 'wizard', content: '' }] }), await ask({ n: 0 }), await ask({ reasoning_effort: 'huge' }), await ask({ tools: [{}] }), await ask({ tools: [], tool_choice: 'maybe' }),
      await ask({ response_format: { type: 'poem' } }), await ask({ functions: [{ name: 'f' }] }), await ask({ max_tokens: -1 }), await ask({ stop: [''] }),
      await ask({ messages: [{ role: 'user', content: 'word '.repeat(3000) }] }), await ask({ messages: [{ role: 'user', content: 'word '.repeat(3000) }], stream: true }),
      await refused(() => openai.embeddings.create({ model: 'm', input: 'x' })), await refused(() => openai.models.retrieve('other')), await refused(() => openai.completions.create({ model: 'm', prompt: 5 })),
    ];
    await models.endless.unload();
    return [...before, await refused(() => client(models.endless).chat.completions.create({ model: 'm', messages }))];
  }, messages);
  assert.deepEqual(failures.map(({ status, param, code }) => [status, param, code]), [
    [400, 'top_p', 'invalid-argument'], [400, 'top_p', 'invalid-argument'], [400, 'messages', null], [400, 'messages[0].content[0]', null],
    [400, 'messages[0].role', null], [400, 'n', null], [400, 'reasoning_effort', null], [400, 'tools[0]', null], [400, 'tool_choice', null],
    [400, 'response_format', null], [400, 'functions', null], [400, 'max_tokens', 'invalid-argument'], [400, 'stop', 'invalid-argument'],
    [400, null, 'context_length_exceeded'], [400, null, 'context_length_exceeded'],
    [404, null, 'unknown_url'], [404, null, 'model_not_found'], [400, 'prompt', null], [400, null, 'invalid-argument'],
  ]);
  assert.ok(failures.every(({ type }) => type === 'invalid_request_error'));
  assert.match(failures[0].message, /top_p: expected a number from 0 to 1, got 7/);
});

test('an agent of @openai/agents uses its two tools', async () => {
  const { output, used } = await page.evaluate(async () => {
    setTracingDisabled(true);
    const used = [];
    const lookup = tool({ name: 'weather', description: 'The weather', parameters: z.object({ city: z.string() }), execute: async ({ city }) => { used.push(city); return 'sunny ①'; } });
    const other = tool({ name: 'news', description: 'The news', parameters: z.object({}), execute: async () => 'none' });
    const agent = new Agent({ name: 'Reporter', instructions: 'Report.', tools: [lookup, other], model: new OpenAIChatCompletionsModel(client(models.weather), 'm') });
    const { finalOutput } = await run(agent, 'What is the weather?');
    return { output: finalOutput, used };
  });
  assert.equal(output, 'Sunny in both');
  assert.deepEqual(used, ['Paris', 'Rome']);
});
