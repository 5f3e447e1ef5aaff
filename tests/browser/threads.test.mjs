// Threads of the CPU engine: replies are the same with any number of them, and with those that are lost on the way.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './bench.mjs';
import { ROOT } from './chromium.mjs';
import { sendFile } from './server.mjs';

const ENGINE = '/pkg/engine-cpu.wasm';
let bench;
let page;
before(async () => {
  bench = await start({ mounts: { '/models/': `${ROOT}models/tiny-math/` } });
  page = await bench.page();
});
after(() => bench.stop());

/** What a model says, its logits, what it warned of, and how many threads fetched the engine for it. */
async function reply(url, threads) {
  const before = bench.server.requests.filter((path) => path === ENGINE).length;
  const result = await page.evaluate(async ({ url, threads }) => {
    const warnings = [];
    const quiet = () => undefined;
    const logger = { debug: quiet, info: quiet, error: quiet, warn: (message, data) => warnings.push([message, data.code]) };
    const model = await qwen3.loadModel(url, { device: 'cpu', cache: 'none', logger, threads });
    const logits = await model.logits(Array.from({ length: 40 }, (_, index) => 3 + index));
    const { content, thinking } = await model.chat([{ role: 'user', content: 'Solve 3x² + 5x − 2 = 0' }], { seed: 4, maxTokens: 60 });
    await model.unload();
    return { said: { content, thinking, logits: [...logits] }, warnings };
  }, { url, threads });
  return { ...result, fetched: bench.server.requests.filter((path) => path === ENGINE).length - before };
}

for (const url of ['/models/qwen3-tiny-math-q8_0.gguf', '/fixtures/super-q6_k.gguf', '/fixtures/narrow-f16.gguf']) {
  test(`three threads say what one says, to the last bit: ${url}`, async () => {
    const alone = await reply(url, 1);
    const three = await reply(url, 3);
    assert.deepEqual(three.said, alone.said);
    assert.deepEqual([alone.fetched, three.fetched, three.warnings], [1, 3, []]);
    assert.ok(alone.said.logits.every(Number.isFinite));
  });
}

test('a small model is left to one thread', async () => {
  assert.equal((await reply('/models/qwen3-tiny-math-q8_0.gguf')).fetched, 1);
});

test('without the helper threads, which get no engine, the reply is the same, and a warning tells', async () => {
  const url = '/models/qwen3-tiny-math-q8_0.gguf';
  const alone = await reply(url, 1);
  let asked = 0;
  bench.server.routes.set(ENGINE, (request, response) => {
    asked += 1;
    if (asked === 1) return void sendFile(request, response, `${ROOT}pkg/engine-cpu.wasm`);
    response.writeHead(404).end();
  });
  const lost = await reply(url, 3);
  bench.server.routes.delete(ENGINE);
  assert.deepEqual(lost.said, alone.said);
  assert.deepEqual(lost.warnings.map(([message]) => message), ['the engine goes on without its helper threads']);
});
