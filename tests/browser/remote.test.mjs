// connect: the calls of a loaded model on servers. llama.cpp's is a real one; vLLM's and SGLang's chunks have the shapes published in
// the reports named below; failures are those of a connection.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serveGguf } from '../servers/llama.mjs';
import { MODELS, start } from './bench.mjs';
import { ROOT } from './chromium.mjs';
import { call, scriptedModel } from './scripted.mjs';

/** Asks for the weather in two places, and, told ①, reports. */
const WEATHER = scriptedModel({
  thinking: ['Hm', ',', ' tools'],
  answer: ['<tool_call>', call('weather', { city: 'Paris' }), '</tool_call>', '<tool_call>', call('weather', { city: 'Rome' }), '</tool_call>'],
  turns: [{ after: '①', answer: ['Sunny', ' in', ' both'] }],
  context: 4096,
});
const PATHS = ['/v1/chat/completions', '/v1/chat/completions/control', '/v1/completions', '/tokenize', '/apply-template'];
const EQUATION = [{ role: 'user', content: 'Solve x^2 - 5x + 6 = 0' }];

const folder = mkdtempSync(join(tmpdir(), 'qwen3-web-remote-'));
let bench;
let page;
let servers = [];
before(async () => {
  writeFileSync(join(folder, 'weather.gguf'), WEATHER);
  // It thinks for as long as it is let, so that whoever ends that is never too late.
  writeFileSync(join(folder, 'musing.gguf'), MODELS['/musing.gguf']);
  bench = await start();
  const files = [`${ROOT}models/tiny-math/qwen3-tiny-math-q8_0.gguf`, join(folder, 'weather.gguf'), join(folder, 'musing.gguf')];
  servers = await Promise.all(files.map(serveGguf));
  for (const [index, name] of ['/math', '/weather', '/musing'].entries()) {
    for (const path of PATHS) bench.server.routes.set(`${name}${path}`, servers[index].proxy(name));
  }
  page = await bench.page();
  await page.evaluate(() => {
    globalThis.math = qwen3.connect({ baseURL: '/math/v1', model: 'served' });
    globalThis.collect = async (reply) => {
      const events = [];
      try {
        for await (const event of reply) events.push(event);
        return { events, result: await reply };
      } catch (error) {
        const { code, message, hint, recoverable, partial } = error;
        return { events, error: { code, message, hint, recoverable, partial, typed: error instanceof qwen3.Qwen3Error } };
      }
    };
  });
});
after(async () => {
  await bench?.stop();
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true });
});

const text = (events, type) => events.filter((event) => event.type === type).map((event) => event.text).join('');

test('llama.cpp: the same greedy reply as from the model loaded here, by the same calls', async () => {
  const { here, there } = await page.evaluate(async (messages) => {
    const answers = [];
    for (const load of [() => qwen3.loadModel('qwen3-tiny-math', { device: 'cpu' }), () => qwen3.connect({ baseURL: '/math/v1', model: 'served' })]) {
      const model = await load();
      answers.push({
        thinking: await collect(model.chat(messages, { temperature: 0 })),
        plain: await model.chat(messages, { temperature: 0, enableThinking: false }),
        tokens: await model.countTokens(messages),
        raw: await model.complete('1 + 1 =', { temperature: 0, maxTokens: 4 }),
      });
      await model.unload();
    }
    return { here: answers[0], there: answers[1] };
  }, EQUATION);
  assert.deepEqual([there.thinking.result.thinking, there.thinking.result.content], [here.thinking.result.thinking, here.thinking.result.content]);
  assert.match(there.thinking.result.content, /3.*2/);
  assert.equal(text(there.thinking.events, 'thinking'), there.thinking.result.thinking);
  assert.equal(text(there.thinking.events, 'content'), there.thinking.result.content);
  const order = ({ events }) => events.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1]);
  assert.deepEqual(order(there.thinking), order(here.thinking));
  assert.equal(there.plain.content, here.plain.content);
  assert.equal(there.plain.thinking, '');
  assert.equal(there.tokens, here.tokens);
  assert.equal(there.raw.content, here.raw.content);
  assert.equal(there.raw.finishReason, here.raw.finishReason);
  const [mine, theirs] = [here.thinking.result.usage, there.thinking.result.usage];
  assert.equal(theirs.promptTokens, mine.promptTokens);
  assert.equal(theirs.completionTokens, mine.completionTokens);
  assert.ok(Math.abs(theirs.thinkingTokens - mine.thinkingTokens) <= 2, `${theirs.thinkingTokens} and ${mine.thinkingTokens} tokens of thinking`);
  assert.ok(there.thinking.result.timings.totalMs >= there.thinking.result.timings.timeToFirstTokenMs);
});

test('llama.cpp: options, abort, a thinking cut short, a budget, log probabilities', async () => {
  const r = await page.evaluate(async (messages) => {
    const options = { temperature: 0, seed: 5 };
    const musing = qwen3.connect({ baseURL: '/musing/v1', model: 'served' });
    const aborted = musing.chat(messages, options);
    aborted.on('thinking', () => aborted.abort());
    const skipped = musing.chat(messages, options);
    skipped.on('thinking', () => skipped.skipThinking());
    return {
      whole: await math.chat(messages, options),
      length: await math.chat(messages, { ...options, maxTokens: 5 }),
      stop: await math.chat(messages, { ...options, stop: ' and', enableThinking: false }),
      budget: await math.chat(messages, { ...options, thinkingBudget: 6 }),
      logprobs: await math.chat(messages, { ...options, logprobs: true, topLogprobs: 2, enableThinking: false }),
      aborted: await aborted,
      skipped: await skipped,
      before: await math.chat(messages, { signal: AbortSignal.abort() }),
    };
  }, EQUATION);
  assert.equal(r.length.finishReason, 'length');
  assert.equal(r.length.content, '');
  assert.match(r.stop.content, /^x₁ = \d$/);
  assert.ok(r.budget.thinking.length < r.whole.thinking.length && r.whole.thinking.startsWith(r.budget.thinking), `${r.budget.thinking} of ${r.whole.thinking}`);
  assert.notEqual(r.budget.content, '');
  assert.deepEqual([r.budget.finishReason, r.skipped.finishReason, r.skipped.content], ['stop', 'stop', 'Done']);
  const endless = ' round and'.repeat(4096);
  for (const { thinking } of [r.aborted, r.skipped]) assert.ok(thinking !== '' && endless.startsWith(thinking), thinking);
  assert.ok(r.budget.usage.thinkingTokens <= 6);
  assert.equal(r.aborted.finishReason, 'abort');
  assert.equal(r.before.finishReason, 'abort');
  assert.equal(r.whole.seed, 5);
  assert.equal(r.logprobs.logprobs.map(({ token }) => token).join(''), r.logprobs.content);
  assert.ok(r.logprobs.logprobs.every(({ logprob, tokenId, topLogprobs }) => logprob <= 0 && Number.isInteger(tokenId) && topLogprobs.length === 2));
});

test('llama.cpp: a run with tools', async () => {
  const { events, result, error } = await page.evaluate(() => {
    const model = qwen3.connect({ baseURL: '/weather/v1', model: 'served' });
    const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
    return collect(model.run([{ role: 'user', content: 'What is the weather?' }], { tools: [{ name: 'weather', parameters, execute: ({ city }) => `${city}: ①` }], temperature: 0 }));
  });
  assert.equal(error, undefined);
  assert.deepEqual(events.filter(({ type }) => type === 'toolCall').map(({ name, arguments: args }) => [name, args]), [['weather', { city: 'Paris' }], ['weather', { city: 'Rome' }]]);
  assert.deepEqual(result.messages.filter(({ role }) => role === 'tool').map(({ content }) => content), ['Paris: ①', 'Rome: ①']);
  assert.equal(result.content, 'Sunny in both');
  assert.deepEqual(result.steps.map(({ thinking }) => thinking), ['Hm, tools', 'Hm, tools']);
});

test('llama.cpp: a conversation that does not fit, and one whose oldest turns may go', async () => {
  const { refused, dropped } = await page.evaluate(async (messages) => {
    const long = [{ role: 'user', content: 'x + 1 = 2, '.repeat(600) }, { role: 'assistant', content: 'x = 1' }, ...messages];
    return { refused: await collect(math.chat(long)), dropped: await collect(math.chat(long, { onContextOverflow: 'dropOldestTurns', temperature: 0, enableThinking: false })) };
  }, EQUATION);
  assert.equal(refused.error.code, 'context-overflow');
  assert.ok(refused.error.typed && refused.error.hint !== '');
  assert.deepEqual([dropped.events[0].code, dropped.events[0].dropped], ['dropped-turns', [0, 1]]);
  assert.equal(dropped.result.finishReason, 'stop');
});

/** Chunks as servers print them around a delta. */
const SHAPES = {
  // https://github.com/vllm-project/vllm/issues/29408
  'vLLM, both names': (delta, end) => ({ id: 'chatcmpl-8128e5ff', object: 'chat.completion.chunk', created: 1764074006, model: 'qwen3-thinking', choices: [{ index: 0, delta: delta.thinking === undefined ? { content: delta.content ?? '', reasoning_content: null } : { reasoning: delta.thinking, reasoning_content: delta.thinking }, logprobs: null, finish_reason: end ?? null, token_ids: null }] }),
  // https://github.com/vllm-project/vllm/issues/40816
  'vLLM, reasoning': (delta, end) => ({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'qwen', choices: [{ index: 0, delta: delta.thinking === undefined ? { content: delta.content ?? '' } : { reasoning: delta.thinking }, logprobs: null, finish_reason: end ?? null }] }),
  // https://github.com/sgl-project/sglang/pull/9657
  SGLang: (delta, end) => ({ id: 'fea45bfa', object: 'chat.completion.chunk', created: 1756216933, model: 'acbc', choices: [{ index: 0, delta: { role: null, content: delta.content ?? null, reasoning_content: delta.thinking ?? null, tool_calls: null }, logprobs: null, finish_reason: end ?? null, matched_stop: end === undefined ? null : 151645 }], usage: null }),
  // https://github.com/vllm-project/vllm/issues/35705: no reasoning parser, the tags are in the content
  'vLLM, tags': (delta, end) => ({ id: 'chatcmpl-8b2b9172', object: 'chat.completion.chunk', created: 1772423572, model: 'qwen3_8b', choices: [{ index: 0, delta: { content: delta.raw ?? delta.content ?? '' }, logprobs: null, finish_reason: end ?? null }] }),
};
const sse = (data) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const deltas = [{ thinking: '\nOkay', raw: '<think>' }, { thinking: ' so', raw: '\nOkay' }, { thinking: ' 7·8', raw: ' so 7' }, { thinking: '\n', raw: '·8\n</thi' }, { content: '\n\nIt is', raw: 'nk>\n\nIt is' }, { content: ' <b>56</b>', raw: ' <b>56</b>' }];

/** Answers the next request with pieces of text, with a pause between them; `end` is done with the response afterwards. */
function answer({ status = 200, headers = { 'Content-Type': 'text/event-stream' }, pieces, end = (response) => response.end() }) {
  bench.server.routes.set('/v1/chat/completions', async (request, response) => {
    request.resume();
    response.writeHead(status, headers);
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    end(response);
  });
}
const ask = (options = {}) => page.evaluate((options) => collect(qwen3.connect({ baseURL: `${location.origin}/v1/`, model: 'm', apiKey: 'secret', headers: { 'X-A': 'b' } }).chat([{ role: 'user', content: '7 × 8?' }], options)), options);

test('thinking and content come apart in every shape that servers use, whole and cut anywhere', async () => {
  const usage = { id: 'x', object: 'chat.completion.chunk', choices: [], usage: { prompt_tokens: 9, total_tokens: 21, completion_tokens: 12, prompt_tokens_details: { cached_tokens: 4 }, completion_tokens_details: { reasoning_tokens: 7 } } };
  for (const [name, shape] of Object.entries(SHAPES)) {
    const stream = [...deltas.map((delta) => sse(shape(delta))), sse(shape({ content: '' }, 'stop')), sse(usage), sse('[DONE]')].join('');
    const bytes = Buffer.from(stream);
    // In pieces of a size that falls on no border: within lines, events and characters.
    const cut = Array.from({ length: Math.ceil(bytes.length / 37) }, (_, index) => bytes.subarray(index * 37, (index + 1) * 37));
    for (const pieces of [[stream], cut, [`: ping\r\n\r\n${stream.replaceAll('\n', '\r\n')}`]]) {
      answer({ pieces });
      const { events, result } = await ask();
      assert.deepEqual([result.thinking, result.content], ['Okay so 7·8', 'It is <b>56</b>'], name);
      assert.deepEqual([text(events, 'thinking'), text(events, 'content')], [result.thinking, result.content], name);
      assert.equal(result.finishReason, 'stop');
      assert.deepEqual(result.usage, { promptTokens: 9, cachedTokens: 4, thinkingTokens: 7, contentTokens: 5, completionTokens: 12 });
    }
  }
});

test('the request says what each server needs', async () => {
  let body;
  let headers;
  bench.server.routes.set('/v1/chat/completions', async (request, response) => {
    headers = request.headers;
    let text = '';
    for await (const piece of request) text += piece;
    body = JSON.parse(text);
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: 'whole', reasoning: 'at once' }, finish_reason: 'stop' }] }));
  });
  const { result } = await ask({ enableThinking: false, thinkingBudget: 3, topK: 5, repetitionPenalty: 1.1, responseFormat: { type: 'json_schema', schema: { type: 'object' } }, toolChoice: { name: 'f' }, tools: [{ type: 'function', function: { name: 'f' } }] });
  assert.deepEqual([result.thinking, result.content], ['at once', 'whole'], 'a server that does not stream');
  assert.equal(headers.authorization, 'Bearer secret');
  assert.equal(headers['x-a'], 'b');
  const { seed, ...rest } = body;
  assert.ok(Number.isInteger(seed));
  assert.deepEqual(rest, {
    model: 'm', stream: true, stream_options: { include_usage: true }, return_progress: true, reasoning_control: true,
    temperature: 0.7, top_p: 0.8, top_k: 5, min_p: 0, repetition_penalty: 1.1, repeat_penalty: 1.1,
    chat_template_kwargs: { enable_thinking: false }, thinking_token_budget: 3, thinking_budget_tokens: 3, custom_params: { thinking_budget: 3 },
    response_format: { type: 'json_schema', json_schema: { name: 'response', schema: { type: 'object' }, strict: true } },
    tools: [{ type: 'function', function: { name: 'f' } }], tool_choice: { type: 'function', function: { name: 'f' } },
    messages: [{ role: 'user', content: '7 × 8?' }],
  });
});

test('tool calls in pieces, several in one turn, with arguments that are no JSON', async () => {
  const chunk = (part, end = null) => sse({ choices: [{ index: 0, delta: { tool_calls: [part] }, finish_reason: end }] });
  answer({ pieces: [
    chunk({ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } }), chunk({ index: 0, function: { arguments: '{"x": ' } }), chunk({ index: 0, function: { arguments: '1}' } }),
    chunk({ index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '{"y": ' } }), sse({ choices: [{ delta: {}, finish_reason: 'stop' }] }), sse('[DONE]'),
  ] });
  const { events, result } = await ask({ tools: [{ type: 'function', function: { name: 'f' } }] });
  assert.equal(result.finishReason, 'toolCalls');
  assert.deepEqual(result.toolCalls, [{ id: 'a', name: 'f', arguments: { x: 1 } }, { id: 'b', name: 'g', arguments: '{"y": ' }]);
  assert.deepEqual(events.map(({ type, index }) => [type, index]).slice(0, -1), [['toolCallDelta', 0], ['toolCallDelta', 0], ['toolCallDelta', 1], ['toolCall', 0], ['toolCall', 1]]);
});

test('failures are typed, say whether to try again, and keep the text', async () => {
  const shape = SHAPES['vLLM, reasoning'];
  const begun = [sse(shape({ thinking: 'Hm' })), sse(shape({ content: 'It' }))];
  const json = { 'Content-Type': 'application/json' };
  const error = (message) => [JSON.stringify({ error: { message, type: 't', code: 1 } })];
  const cases = [
    { answer: { pieces: begun, end: (response) => response.destroy() }, partial: true, recoverable: true, message: /connection ended/ },
    { answer: { pieces: begun }, partial: true, recoverable: true, message: /connection ended/ },
    { answer: { pieces: [...begun, 'data: {"choices":[{"delta":{"con'] }, partial: true, recoverable: true, message: /connection ended/ },
    { answer: { pieces: [...begun, 'data: {"choices":[{"delta":{"con\n\n'] }, partial: true, recoverable: true, message: /connection ended/ },
    { answer: { pieces: [...begun, sse({ error: { message: 'CUDA out of memory' } })] }, partial: true, recoverable: true, message: /CUDA out of memory/ },
    { answer: { status: 429, headers: { ...json, 'Retry-After': '7' }, pieces: error('slow down') }, recoverable: true, message: /429: slow down/, hint: /in 7 s/ },
    { answer: { status: 500, headers: { 'Content-Type': 'text/plain' }, pieces: ['Internal Server Error'] }, recoverable: true, message: /500: Internal/ },
    { answer: { status: 503, headers: json, pieces: error('Loading model') }, recoverable: true, message: /503: Loading/ },
    { answer: { status: 401, headers: json, pieces: [JSON.stringify({ error: 'Unauthorized' })] }, recoverable: false, message: /401: Unauthorized/, hint: /apiKey/ },
    { answer: { status: 404, headers: json, pieces: [JSON.stringify({ detail: 'Not Found' })] }, recoverable: false, message: /404: Not Found/, hint: /baseURL/ },
    { answer: { status: 400, headers: json, pieces: [JSON.stringify({ object: 'error', message: 'bad top_p' })] }, recoverable: false, message: /400: bad top_p/ },
    { answer: { status: 400, headers: json, pieces: error('This model\'s maximum context length is 4096 tokens. However, you requested 5000') }, code: 'context-overflow', recoverable: true, message: /4096/ },
    { answer: { pieces: [], end: (response) => response.destroy() }, recoverable: true, message: /no answer from .*chat\/completions/ },
  ];
  for (const { answer: given, partial = false, code = 'remote-error', recoverable, message, hint = /./ } of cases) {
    answer(given);
    const { events, error } = await ask();
    assert.equal(error.code, code, String(message));
    assert.equal(error.typed, true);
    assert.equal(error.recoverable, recoverable, String(message));
    assert.match(error.message, message);
    if (hint.source !== '.') assert.match(error.hint, hint);
    if (partial) {
      assert.deepEqual([error.partial.thinking, error.partial.content], ['Hm', 'It'], String(message));
      assert.deepEqual([text(events, 'thinking'), text(events, 'content')], ['Hm', 'It']);
    }
  }
  const { error: unreachable } = await page.evaluate(() => collect(qwen3.connect({ baseURL: 'http://localhost:9/v1', model: 'm', fetch: () => Promise.reject(new TypeError('Failed to fetch')) }).chat([{ role: 'user', content: 'hi' }])));
  assert.deepEqual([unreachable.code, unreachable.recoverable], ['remote-error', true]);
  assert.match(unreachable.message, /localhost:9/);
});

test('a reply that was complete before the connection broke is complete', async () => {
  answer({ pieces: [sse(SHAPES.SGLang({ content: 'Done' })), sse(SHAPES.SGLang({}, 'stop'))], end: (response) => response.destroy() });
  const { result } = await ask();
  assert.deepEqual([result.content, result.finishReason], ['Done', 'stop']);
});

test('what is wrong is told before the server is asked', async () => {
  const asked = bench.server.requests.length;
  const failures = await page.evaluate(() => Promise.all([
    () => qwen3.connect(), () => qwen3.connect({ model: 'm' }), () => qwen3.connect({ baseURL: 'ftp://x', model: 'm' }), () => qwen3.connect({ baseURL: '/v1' }), () => qwen3.connect({ baseURL: '/v1', model: 'm', apikey: 'x' }),
    () => math.chat('hi'), () => math.chat([]), () => math.chat([{ role: 'wizard', content: '' }]), () => math.chat([{ role: 'user', content: 5 }]), () => math.chat([{ role: 'user', content: '' }], { topP: 7 }),
  ].map((call) => attempt(async () => call()))));
  const said = [/object/, /baseURL/, /baseURL.*'ftp:\/\/x'/, /model/, /apikey/, /messages/, /messages/, /role.*'wizard'/, /content.*5/, /topP.*0 to 1.*7/];
  for (const [index, { code, message }] of failures.entries()) {
    assert.equal(code, 'invalid-argument', message);
    assert.match(message, said[index]);
  }
  assert.equal(bench.server.requests.length - asked, 0);
});
