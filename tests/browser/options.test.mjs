// Every option of a wrong type or out of range is refused by name, value and range, by a model here and by one behind a server; and
// what the logger and diagnose() tell.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ANSWER, start } from './bench.mjs';

/** Values that are wrong, as source text, and the range that the message has to name. */
const CHAT = {
  enableThinking: [['1', '"yes"'], /true or false/],
  thinkingBudget: [['-1', '1.5', '"8"', 'NaN'], /0 to/],
  maxTokens: [['0', '-3', '2.5', '"9"'], /1 to/],
  temperature: [['-0.1', '2.1', '"hot"', 'NaN'], /0 to 2/],
  topP: [['-0.1', '1.1', 'true'], /0 to 1/],
  topK: [['-1', '0.5', '2 ** 21'], /0 to 1048576/],
  minP: [['-0.1', '1.1', '[]'], /0 to 1/],
  presencePenalty: [['-2.1', '2.1'], /-2 to 2/],
  frequencyPenalty: [['-2.1', '2.1'], /-2 to 2/],
  repetitionPenalty: [['0', '11'], /0\.1 to 10/],
  logitBias: [['[]', '{ 5: 101 }', '{ x: 1 }', '{ 5: "a" }'], /token ids|-100 to 100/],
  seed: [['-1', '0.5', '2 ** 60'], /0 to/],
  stop: [['5', '""', '["a", ""]', '[1]'], /string/],
  tools: [['{}', '[{}]', '["f"]'], /array|function/],
  toolChoice: [['"maybe"', '5', '{}'], /'auto'/],
  responseFormat: [['{}', '"json"', '{ type: "poem" }', '{ type: "json_schema" }', '{ type: "regex" }'], /json_schema|schema|pattern/],
  logprobs: [['1', '"all"'], /true or false/],
  topLogprobs: [['-1', '21', '1.5'], /0 to 20/],
  onContextOverflow: [['"drop"', 'true'], /'error'/],
  addGenerationPrompt: [['1'], /true or false/],
  continueFinalMessage: [['0'], /true or false/],
  loopGuard: [['"on"'], /true or false/],
  signal: [['{}', '5'], /AbortSignal/],
};
const LOAD = {
  device: [['"gpu"', '1'], /'auto' or 'webgpu' or 'cpu'/],
  kernels: [['"fast"'], /'auto' or/],
  kvCache: [['"f16"'], /'auto' or/],
  gpuTimestamps: [['1', '"on"'], /true or false/],
  threads: [['0', '17', '"all"'], /1 to 16/],
  contextLength: [['0', '1.5', '"4k"'], /at least 1/],
  yarnFactor: [['1', '65', '"4"', 'NaN'], /above 1, at most 64/],
  onProgress: [['5'], /function/],
  signal: [['{}'], /AbortSignal/],
  cache: [['"disk"', 'true'], /'indexeddb'/],
  fetch: [['"fetch"'], /function/],
  headers: [['5', '{ a: 1 }', 'new Headers()'], /strings/],
  connections: [['0', '17', '2.5'], /1 to 16/],
  stallTimeoutMs: [['0', '"1s"'], /positive/],
  logger: [['5', '{ debug() {} }'], /debug, info, warn and error/],
  worker: [['0', '"no"'], /true or false/],
};

let bench;
let page;
before(async () => {
  bench = await start();
  // Cases are source text, which a page that forbids eval would not read.
  bench.server.routes.set('/lenient.html', (_, response) => {
    response.removeHeader('Content-Security-Policy');
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><link rel="icon" href="data:,">');
  });
  page = await bench.page('/lenient.html');
  await page.evaluate(async () => {
    globalThis.model = await qwen3.loadModel('/scripted.gguf', { device: 'cpu' });
    globalThis.remote = qwen3.connect({ baseURL: '/v1', model: 'm' });
    globalThis.refusals = (table, call) => Promise.all(Object.entries(table).flatMap(([name, values]) => values.map(async (source) => {
      const value = new Function(`return ${source}`)();
      return { option: name, source, ...await attempt(() => call({ [name]: value })) };
    })));
  });
});
after(() => bench.stop());

function check(refusals, table) {
  assert.equal(refusals.length, Object.values(table).flatMap(([values]) => values).length);
  for (const { option, source, code, typed, message } of refusals) {
    const of = `${option}: ${source} gave ${code}: ${message}`;
    assert.equal(code, 'invalid-argument', of);
    assert.equal(typed, true, of);
    assert.match(message, new RegExp(option), of);
    if (source !== 'NaN') assert.match(message, table[option][1], of);
    assert.match(message, /got/, of);
  }
}
const values = (table) => Object.fromEntries(Object.entries(table).map(([name, [list]]) => [name, list]));
const MESSAGES = [{ role: 'user', content: 'hi' }];

for (const which of ['model', 'remote']) {
  test(`options of chat, on a ${which}`, async () => {
    check(await page.evaluate(([table, which, messages]) => refusals(table, async (options) => ({ ...await globalThis[which].chat(messages, options) })), [values(CHAT), which, MESSAGES]), CHAT);
  });
}

test('options of loadModel', async () => {
  check(await page.evaluate((table) => refusals(table, (options) => qwen3.loadModel('/scripted.gguf', options)), values(LOAD)), LOAD);
});

test('the tables have every option', async () => {
  const hints = await page.evaluate(async (messages) => [await attempt(() => remote.chat(messages, { none: 1 })), await attempt(() => qwen3.loadModel('/scripted.gguf', { none: 1 }))].map(({ hint }) => hint), MESSAGES);
  for (const [index, table] of [CHAT, LOAD].entries()) assert.deepEqual(hints[index].replace('its options are ', '').split(', ').sort(), Object.keys(table).sort());
});

test('the logger hears of loads, replies, notices and failures, and of no word in them', async () => {
  const lines = await page.evaluate(async () => {
    const lines = [];
    const level = (name) => (message, data) => lines.push([name, message, data]);
    const logger = { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') };
    const logged = await qwen3.loadModel('/scripted.gguf', { device: 'cpu', logger });
    const messages = [{ role: 'user', content: 'a secret' }];
    await logged.chat(messages, { temperature: 0 });
    await logged.chat(messages, { topP: 7 }).catch(() => undefined);
    await logged.unload();
    await qwen3.loadModel('/none.gguf', { logger }).catch(() => undefined);
    return lines;
  });
  const said = lines.map(([level, message]) => `${level} ${message.replace(/: .*/, '')}`);
  assert.deepEqual(said, ['info a model is loaded', 'debug reply 0 begins', 'warn reply 0', 'info reply 0 ended', 'debug reply 1 begins', 'error reply 1 failed', 'error a model could not be loaded']);
  assert.equal(lines[2][2].code, 'greedy-thinking');
  assert.ok(lines[3][2].usage.completionTokens > 10 && lines[3][2].timings.totalMs > 0);
  assert.ok(!JSON.stringify(lines).includes('secret') && !JSON.stringify(lines).includes(ANSWER));
  assert.equal(lines.at(-1)[2].code, 'download-failed');
});

test('diagnose says what a bug report needs', async () => {
  const found = await page.evaluate(() => qwen3.diagnose());
  assert.match(found.version, /^\d+\.\d+\.\d+/);
  assert.match(found.userAgent, /Chrom/);
  assert.equal(found.wasmSimd, true);
  assert.equal(found.secureContext, true);
  assert.equal(found.crossOriginIsolated, false);
  assert.equal(found.worker, true);
  assert.ok(found.cpuCores >= 1 && found.storage.quotaBytes > 0 && typeof found.storage.persisted === 'boolean');
  assert.equal(typeof found.webgpu, 'boolean');
  assert.equal(found.gpuTimestamps, 'unavailable: there is no WebGPU adapter');
  assert.deepEqual(JSON.parse(JSON.stringify(found)), found, 'plain data');
});
