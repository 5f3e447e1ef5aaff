// Loads a model again and again while everything goes wrong at random: network, store and tabs. No load may end with a wrong byte.
//
// usage: node tests/browser/soak.mjs [RUNS] [SEED]     (BROWSER=firefox for Firefox)

import assert from 'node:assert/strict';
import { ANSWER, SCRIPT, start } from './bench.mjs';
import { faulty, fileOf, random } from './faults.mjs';
import { scriptedModel } from './scripted.mjs';

/** Five chunks: enough for threads of their own to read them. */
const MODEL = fileOf(scriptedModel({ ...SCRIPT, unused: 18_000 }));
const CHUNK = 4 * 1024 * 1024;
/** What a load may end with when the network or the store gave it no chance. */
const EXPECTED = ['download-failed', 'integrity-mismatch', 'aborted'];

/** Does so many runs; what came of them, counted. Throws at the first load that is wrong. */
export async function soak(runs, seed, onRun = () => undefined) {
  const next = random(seed);
  const upTo = (limit) => Math.floor(next() * limit);
  const pick = (...choices) => choices[upTo(choices.length)];
  const bench = await start();
  /** Places of chunks that were damaged in the store on purpose and may still be. */
  const hurt = new Set();
  const counts = { loaded: 0, failed: {}, closed: 0, damaged: 0 };
  try {
    const page = await bench.page();
    for (let run = 0; run < runs; run += 1) {
      const likelihood = next();
      let flips = 0;
      const fault = () => {
        const kind = pick('cut', 'status', 'stall', 'truncate', 'shift', 'ignoreRange', 'flip', 'portal', 'slow', 'plain');
        if (kind === 'flip' && ++flips > 2) return undefined;
        return {
          cut: { cut: upTo(CHUNK) }, status: { status: pick(429, 500, 503), retryAfter: pick(undefined, '0') }, stall: { stall: upTo(CHUNK) },
          truncate: { truncate: upTo(1000) }, shift: { shift: 1 + upTo(1000) }, ignoreRange: { ignoreRange: true }, flip: { flip: 1000 + upTo(MODEL.size - 1000) },
          portal: pick({ portal: 'text/html' }, { portal: 'application/octet-stream' }), slow: { slow: 1 }, plain: { plain: true },
        }[kind];
      };
      bench.server.routes.set('/model.gguf', faulty(MODEL, () => (next() < likelihood * 0.6 ? fault() : undefined)));
      // A byte that is flipped on its way can be told only by a hash that is known beforehand.
      const source = { urls: ['/model.gguf', '/model.gguf'], sha256: MODEL.sha256, ...(next() < 0.5 ? { sizeBytes: MODEL.size } : {}) };
      const options = { device: 'cpu', stallTimeoutMs: 200, connections: pick(1, 2, 4, 8), cache: pick('indexeddb', 'indexeddb', 'indexeddb', 'none') };
      if (next() < 0.3) {
        counts.closed += 1;
        const dying = await bench.page();
        await dying.evaluate(([source, options, until]) => new Promise((resolve) => {
          const done = () => resolve();
          qwen3.loadModel(source, { ...options, onProgress: ({ loadedBytes }) => loadedBytes >= until && done() }).then(done, done);
        }), [source, options, upTo(MODEL.size)]);
        await dying.close();
      }
      const outcome = await page.evaluate(([source, options]) => attempt(async () => {
        const model = await qwen3.loadModel(source, options);
        const { content } = await model.chat([{ role: 'user', content: 'hi' }]);
        await model.unload();
        return content;
      }), [source, options]);
      if (outcome.code === undefined) {
        assert.equal(outcome.value, ANSWER, `run ${run} of seed ${seed}`);
        counts.loaded += 1;
      } else {
        assert.ok(outcome.typed && EXPECTED.includes(outcome.code), `run ${run} of seed ${seed}: ${JSON.stringify(outcome)}`);
        counts.failed[outcome.code] = (counts.failed[outcome.code] ?? 0) + 1;
      }
      counts.damaged += await settle(page, bench, next, run, hurt);
      onRun(run + 1, counts);
    }
  } finally {
    await bench.stop();
  }
  return counts;
}

/**
 * What a run has left is sound but for what was hurt, becomes whole over a sound network, and may be damaged at random; whether it
 * was. Sometimes the next run begins with nothing.
 */
async function settle(page, bench, next, run, hurt) {
  const name = `${bench.server.url}/model.gguf`;
  const stored = await page.evaluate(async () => (await qwen3.listModels())[0]);
  if (stored === undefined) {
    hurt.clear();
    return 0;
  }
  const { damaged } = await page.evaluate((name) => qwen3.verifyModel(name), name);
  assert.deepEqual(damaged.filter(({ from }) => !hurt.has(from)), [], `run ${run} has left a damaged chunk`);
  const hurting = next() < 0.4;
  if (hurting) {
    const chunk = Math.floor(next() * 5);
    hurt.add(chunk * CHUNK);
    await page.evaluate(([name, chunk, place]) => new Promise((resolve) => {
      const open = indexedDB.open('qwen3-web');
      open.onsuccess = () => {
        const chunks = open.result.transaction('chunks', 'readwrite').objectStore('chunks');
        const get = chunks.get([name, 0, chunk]);
        get.onsuccess = () => {
          if (get.result === undefined) return;
          get.result[place % get.result.length] ^= 4;
          chunks.put(get.result, [name, 0, chunk]);
        };
        chunks.transaction.oncomplete = () => resolve(open.result.close());
      };
    }), [name, chunk, Math.floor(next() * CHUNK)]);
  }
  if (next() < 0.5) {
    bench.server.routes.set('/model.gguf', faulty(MODEL));
    await page.evaluate((source) => qwen3.downloadModel(source), { urls: ['/model.gguf'], sha256: MODEL.sha256 });
    const exported = await page.evaluate(async (name) => {
      const [file] = await qwen3.exportModel(name);
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await new Response(file.stream()).arrayBuffer()));
      return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    }, name);
    assert.equal(exported, MODEL.sha256, `run ${run} has left wrong bytes`);
    hurt.clear();
  }
  if (next() < 0.6) {
    await page.evaluate((name) => qwen3.deleteModel(name), name);
    hurt.clear();
  }
  return hurting ? 1 : 0;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [runs = '200', seed = String(Date.now() % 1e6)] = process.argv.slice(2);
  console.log(`${runs} runs of seed ${seed}`);
  const counts = await soak(Number(runs), Number(seed), (run, counts) => run % 20 === 0 && console.log(run, JSON.stringify(counts)));
  console.log('no load was wrong:', JSON.stringify(counts));
}
