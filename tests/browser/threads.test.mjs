// Threads of the CPU engine: replies are the same with any number of them, whether they share memory or send messages, and with
// those that are lost on the way.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './bench.mjs';
import { ROOT } from './chromium.mjs';
import { sendFile } from './server.mjs';

const ENGINE = '/pkg/engine-cpu.wasm';
const KINDS = { 'sharing memory': true, 'sending messages': false };
const benches = {};
const pages = {};
before(async () => {
  for (const [kind, isolated] of Object.entries(KINDS)) {
    benches[kind] = await start({ mounts: { '/models/': `${ROOT}models/tiny-math/` }, isolated });
    pages[kind] = await benches[kind].page();
    assert.equal(await pages[kind].evaluate(() => crossOriginIsolated), isolated);
  }
});
after(() => Promise.all(Object.values(benches).map((bench) => bench.stop())));

/** What a model says, its logits, what it warned of, and how many threads fetched the engine for it. */
async function reply(kind, url, threads) {
  const fetches = () => benches[kind].server.requests.filter((path) => path === ENGINE).length;
  const before = fetches();
  const result = await pages[kind].evaluate(async ({ url, threads }) => {
    const warnings = [];
    const quiet = () => undefined;
    const logger = { debug: quiet, info: quiet, error: quiet, warn: (message, data) => warnings.push([message, data.message]) };
    const model = await qwen3.loadModel(url, { device: 'cpu', cache: 'none', logger, threads });
    const logits = await model.logits(Array.from({ length: 40 }, (_, index) => 3 + index));
    const { content, thinking } = await model.chat([{ role: 'user', content: 'Solve 3x² + 5x − 2 = 0' }], { seed: 4, maxTokens: 60 });
    await model.unload();
    return { said: { content, thinking, logits: [...logits] }, warnings };
  }, { url, threads });
  return { ...result, fetched: fetches() - before };
}

for (const kind of Object.keys(KINDS)) {
  for (const url of ['/models/qwen3-tiny-math-q8_0.gguf', '/fixtures/super-q6_k.gguf', '/fixtures/narrow-f16.gguf']) {
    test(`three threads ${kind} say what one says, to the last bit: ${url}`, async () => {
      const alone = await reply(kind, url, 1);
      const three = await reply(kind, url, 3);
      assert.deepEqual(three.said, alone.said);
      assert.deepEqual([alone.fetched, three.fetched, three.warnings], [1, 3, []]);
      assert.ok(alone.said.logits.every(Number.isFinite));
    });
  }

  test(`without the threads ${kind}, which get no engine, the reply is the same, and a warning tells`, async () => {
    const url = '/models/qwen3-tiny-math-q8_0.gguf';
    const alone = await reply(kind, url, 1);
    const { routes } = benches[kind].server;
    let asked = 0;
    routes.set(ENGINE, (request, response) => {
      asked += 1;
      if (asked === 1) return void sendFile(request, response, `${ROOT}pkg/engine-cpu.wasm`);
      response.writeHead(404).end();
    });
    const lost = await reply(kind, url, 3);
    routes.delete(ENGINE);
    assert.deepEqual(lost.said, alone.said);
    assert.deepEqual(lost.warnings.map(([message]) => message), ['the engine goes on without its helper threads']);
  });
}

test('a small model is left to one thread', async () => {
  assert.equal((await reply('sharing memory', '/models/qwen3-tiny-math-q8_0.gguf')).fetched, 1);
});
