// Threads of the CPU engine, which share its memory in isolated pages: replies are the same with any number of them, with those that are
// lost on the way, and where there can be none.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { after, before, test } from 'node:test';
import { start } from './bench.mjs';
import { ROOT } from './chromium.mjs';

const TINY = '/models/qwen3-tiny-math-q8_0.gguf';
const benches = {};
const pages = {};
before(async () => {
  for (const [kind, isolated] of Object.entries({ isolated: true, plain: false })) {
    benches[kind] = await start({ mounts: { '/models/': `${ROOT}models/tiny-math/` }, isolated });
    pages[kind] = await benches[kind].page();
    assert.equal(await pages[kind].evaluate(() => crossOriginIsolated), isolated);
  }
});
after(() => Promise.all(Object.values(benches).map((bench) => bench.stop())));

const WORKER = readFileSync(`${ROOT}pkg/worker.js`, 'utf8');
const script = (code) => (_, response) => response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(code);

/** Ahead of the code of a thread: it tells of its first piece, and at the piece `last` does something else. */
const watched = (last, instead = "throw new Error('broken on purpose')") => `
  const { Instance } = WebAssembly;
  let pieces = 0;
  WebAssembly.Instance = function (module, imports) {
    const { qwen3_piece, ...rest } = new Instance(module, imports).exports;
    const piece = (work, thread, index) => {
      if (++pieces === 1) new BroadcastChannel('pieces').postMessage(thread);
      if (pieces === ${last}) { ${instead}; }
      qwen3_piece(work, thread, index);
    };
    return { exports: { ...rest, qwen3_piece: piece } };
  };
  ${WORKER}`;

/** Ahead of the code of the engine's own thread: the browser gives no shared memory that may grow beyond so many pages. */
const confined = (pages) => `
  const { Memory } = WebAssembly;
  WebAssembly.Memory = function (wanted) {
    if (wanted.shared && wanted.maximum > ${pages}) throw new RangeError('no room on purpose');
    return new Memory(wanted);
  };
  ${WORKER}`;

/**
 * What a model says, its logits, what it warned of, which engines were fetched for it, and which other threads took part, of which so
 * many are waited for.
 */
async function reply(kind, source, { threads, wanted = 0, own = WORKER, thread = script(watched()) } = {}) {
  const { routes, requests } = benches[kind].server;
  const before = requests.length;
  let started = 0;
  // The first is the engine's own.
  routes.set('/pkg/worker.js', (request, response) => (++started === 1 ? script(own) : thread)(request, response));
  try {
    const result = await pages[kind].evaluate(async ({ source, threads, wanted }) => {
      const warnings = [];
      const quiet = () => undefined;
      const logger = { debug: quiet, info: quiet, error: quiet, warn: (message, data) => warnings.push([message, data.message]) };
      const tookPart = new Set();
      const pieces = new BroadcastChannel('pieces');
      pieces.onmessage = ({ data }) => tookPart.add(data);
      const model = await qwen3.loadModel(source, { device: 'cpu', cache: 'none', logger, threads });
      const ids = Array.from({ length: 40 }, (_, index) => 3 + index);
      while (tookPart.size < wanted) await model.logits(ids);
      const logits = await model.logits(ids);
      const { content, thinking } = await model.chat([{ role: 'user', content: 'Solve 3x² + 5x − 2 = 0' }], { seed: 4, maxTokens: 60 });
      // The fixtures have no digits to say.
      const responseFormat = { type: String(source).startsWith('/fixtures/') ? 'text' : 'regex', pattern: '\\d\\d' };
      const formed = await model.chat([{ role: 'user', content: '2 + 3' }], { seed: 4, enableThinking: false, maxTokens: 10, responseFormat });
      await model.unload();
      pieces.close();
      return { said: { content, thinking, formed: formed.content, logits: [...logits] }, warnings, tookPart: [...tookPart].sort() };
    }, { source, threads, wanted });
    return { ...result, engines: requests.slice(before).filter((path) => /engine-.*\.wasm$/.test(path)) };
  } finally {
    routes.delete('/pkg/worker.js');
  }
}

for (const url of [TINY, '/fixtures/super-q6_k.gguf', '/fixtures/narrow-f16.gguf']) {
  test(`three threads on one memory say what one says, to the last bit: ${url}`, async () => {
    const alone = await reply('isolated', url, { threads: 1 });
    const three = await reply('isolated', url, { threads: 3, wanted: 2 });
    assert.deepEqual(three.said, alone.said);
    assert.ok(alone.said.logits.every(Number.isFinite));
    assert.deepEqual([alone.tookPart, alone.engines], [[], ['/pkg/engine-cpu.wasm']]);
    assert.deepEqual([three.tookPart, three.engines, three.warnings], [[1, 2], ['/pkg/engine-cpu-threads.wasm'], []]);
  });
}

for (const [what, thread, wanted, why] of [
  ['fails in the middle of its work', script(watched(5)), 1, /broken on purpose/],
  ['cannot be started', (_, response) => response.writeHead(404).end(), 0, /a thread has crashed/],
]) {
  test(`with a thread that ${what} the reply is the same, and a warning tells`, async () => {
    const alone = await reply('isolated', TINY, { threads: 1 });
    const lost = await reply('isolated', TINY, { threads: 2, wanted, thread });
    assert.deepEqual(lost.said, alone.said);
    assert.equal(lost.tookPart.length, wanted);
    assert.ok(lost.warnings.length > 0);
    for (const [message, cause] of lost.warnings) {
      assert.equal(message, 'the engine goes on without its other threads');
      assert.match(cause, why);
    }
  });
}

test('a model that is fetched twice, because it was damaged on its way, is computed by all threads', async (t) => {
  const { routes } = benches.isolated.server;
  const bytes = readFileSync(`${ROOT}models/tiny-math/${basename(TINY)}`);
  let fetches = 0;
  routes.set('/damaged.gguf', (_, response) => {
    const sent = Buffer.from(bytes);
    if (++fetches === 1) sent[sent.length - 100] ^= 1;
    response.writeHead(200, { 'Content-Length': sent.length }).end(sent);
  });
  t.after(() => routes.delete('/damaged.gguf'));
  const source = { urls: ['/damaged.gguf'], sha256: createHash('sha256').update(bytes).digest('hex') };
  const three = await reply('isolated', source, { threads: 3, wanted: 2 });
  assert.deepEqual(three.said, (await reply('isolated', TINY, { threads: 1 })).said);
  assert.deepEqual([fetches, three.tookPart, three.engines, three.warnings], [2, [1, 2], ['/pkg/engine-cpu-threads.wasm'], []]);
});

test('without the engine for threads there is one, the reply is the same, and a warning tells', async (t) => {
  const { routes } = benches.isolated.server;
  const alone = await reply('isolated', TINY, { threads: 1 });
  routes.set('/pkg/engine-cpu-threads.wasm', (_, response) => response.writeHead(404).end());
  t.after(() => routes.delete('/pkg/engine-cpu-threads.wasm'));
  const refused = await reply('isolated', TINY, { threads: 2 });
  assert.deepEqual(refused.said, alone.said);
  assert.deepEqual(refused.engines, ['/pkg/engine-cpu-threads.wasm', '/pkg/engine-cpu.wasm']);
  assert.match(refused.warnings.join(), /goes on with one thread,.*engine-cpu-threads\.wasm was answered with status 404/);
});

test('a browser that sets less memory aside has the threads all the same', async () => {
  const alone = await reply('isolated', TINY, { threads: 1 });
  const two = await reply('isolated', TINY, { threads: 2, wanted: 1, own: confined(16_384) });
  assert.deepEqual(two.said, alone.said);
  assert.deepEqual([two.tookPart, two.engines, two.warnings], [[1], ['/pkg/engine-cpu-threads.wasm'], []]);
});

test('a browser that gives no shared memory for the weights has one thread, and a warning tells', async () => {
  const alone = await reply('isolated', TINY, { threads: 1 });
  const refused = await reply('isolated', TINY, { threads: 2, own: confined(4_096) });
  assert.deepEqual(refused.said, alone.said);
  assert.deepEqual([refused.tookPart, refused.engines], [[], ['/pkg/engine-cpu.wasm']]);
  assert.match(refused.warnings.join(), /goes on with one thread,.*no room on purpose/);
});

test('with a thread that never ends its work a reply fails, and the next load answers', async () => {
  const alone = await reply('isolated', TINY, { threads: 1 });
  const stuck = script(watched(5, 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'));
  await assert.rejects(reply('isolated', TINY, { threads: 2, wanted: 1, thread: stuck }), /a thread does not finish its work/);
  assert.deepEqual((await reply('isolated', TINY, { threads: 2, wanted: 1 })).said, alone.said);
});

test('a page that is not isolated has one thread, and says the same', async () => {
  const alone = await reply('isolated', TINY, { threads: 1 });
  const plain = await reply('plain', TINY, { threads: 3 });
  assert.deepEqual(plain.said, alone.said);
  assert.deepEqual([plain.engines, plain.tookPart], [['/pkg/engine-cpu.wasm'], []]);
});

test('a small model is left to one thread', async () => {
  assert.deepEqual((await reply('isolated', TINY)).engines, ['/pkg/engine-cpu.wasm']);
});
