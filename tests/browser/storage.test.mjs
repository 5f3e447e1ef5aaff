// Stored weights: damage is found and repaired, a crash between any two writes loses nothing, tabs share one download, and the disk may be full.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ANSWER, SCRIPT, start } from './bench.mjs';
import { ROOT } from './chromium.mjs';
import { faulty, fileOf, noise } from './faults.mjs';
import { scriptedModel } from './scripted.mjs';
import { sendFile } from './server.mjs';

const CHUNK = 4 * 1024 * 1024;
const MB = 1_000_000;

/** Three chunks, the last one not full. */
const MODEL = fileOf(scriptedModel({ ...SCRIPT, unused: 9_000 }));
const PIN = { sizeBytes: MODEL.size, sha256: MODEL.sha256 };

let bench;
let page;
before(async () => {
  bench = await start();
  page = await tab();
});
after(() => bench.stop());
beforeEach(() => page.evaluate(async () => {
  for (const { name } of await qwen3.listModels()) await qwen3.deleteModel(name);
}));

/** What opens when a test says so. */
class Gate {
  opened = new Promise((resolve) => { this.open = resolve; });
}

/** A page with what these tests do most. */
async function tab(from = bench) {
  const page = await from.page();
  await page.evaluate(() => {
    globalThis.answer = async (source, options) => {
      const model = await qwen3.loadModel(source, { device: 'cpu', ...options });
      const { content } = await model.chat([{ role: 'user', content: 'hi' }]);
      await model.unload();
      return content;
    };
    /** Runs `work` on an object store of the database, as no code of the package would. */
    globalThis.tamper = (store, work) => new Promise((resolve, reject) => {
      const open = indexedDB.open('qwen3-web');
      open.onerror = () => reject(open.error);
      open.onsuccess = () => {
        const transaction = open.result.transaction(store, 'readwrite');
        work(transaction.objectStore(store));
        transaction.oncomplete = () => resolve(open.result.close());
      };
    });
    globalThis.flip = (name, chunk) => tamper('chunks', (chunks) => {
      const get = chunks.get([name, 0, chunk]);
      get.onsuccess = () => {
        get.result[12_345] ^= 1;
        chunks.put(get.result, [name, 0, chunk]);
      };
    });
  });
  return page;
}

/** The model at /model.gguf, with the faults given. */
function serve(faults, file = MODEL, from = bench) {
  const route = faulty(file, faults);
  from.server.routes.set('/model.gguf', route);
  return route.served;
}

const nameOf = (from = bench) => `${from.server.url}/model.gguf`;

describe('damage', () => {
  test('a chunk that has changed in the store is found, told by its bytes, and repaired alone', async () => {
    const served = serve();
    await page.evaluate(() => qwen3.downloadModel('/model.gguf'));
    const sound = await page.evaluate((name) => qwen3.verifyModel(name), nameOf());
    await page.evaluate((name) => flip(name, 1), nameOf());
    const [found, [listed], repaired] = await page.evaluate(async (name) => [
      await qwen3.verifyModel(name), await qwen3.listModels(), await qwen3.verifyModel(name, { repair: true }),
    ], nameOf());
    const none = { name: nameOf(), complete: true, verified: false, damaged: [] };
    assert.deepEqual(sound, none);
    assert.deepEqual(found, { ...none, complete: false, damaged: [{ file: 'model.gguf', from: CHUNK, to: 2 * CHUNK }] });
    assert.equal(listed.complete, false);
    assert.equal(served.bytes, MODEL.size + CHUNK);
    assert.deepEqual(repaired, { ...found, complete: true });
    assert.deepEqual(await page.evaluate((name) => qwen3.verifyModel(name), nameOf()), none);
  });

  test('a repair is what a plain load does, too: it never runs a damaged byte', async () => {
    const served = serve();
    assert.equal(await page.evaluate(() => answer('/model.gguf')), ANSWER);
    await page.evaluate((name) => flip(name, 0), nameOf());
    await page.evaluate((name) => tamper('chunks', (chunks) => chunks.delete([name, 0, 2])), nameOf());
    assert.equal(await page.evaluate(() => answer('/model.gguf')), ANSWER);
    assert.equal(served.bytes, 2 * MODEL.size - CHUNK);
    assert.equal(await page.evaluate(() => answer('/model.gguf')), ANSWER);
    assert.equal(served.bytes, 2 * MODEL.size - CHUNK);
  });

  test('what was right at first is trusted: a server that now has other bytes cannot repair it unnoticed', async () => {
    serve();
    await page.evaluate(() => qwen3.downloadModel('/model.gguf'));
    await page.evaluate((name) => flip(name, 1), nameOf());
    const other = Buffer.from(MODEL.read(0, MODEL.size));
    other[CHUNK + 99] ^= 1;
    serve(() => ({ file: fileOf(other) }));
    const failure = await page.evaluate((name) => attempt(() => qwen3.verifyModel(name, { repair: true })), nameOf());
    assert.equal(failure.code, 'integrity-mismatch', JSON.stringify(failure));
    assert.match(failure.message, /model\.gguf from byte 4194304/);
  });

  test('a model that is not stored is refused with a hint', async () => {
    for (const work of ['verifyModel', 'exportModel']) {
      const failure = await page.evaluate((work) => attempt(() => qwen3[work]('nothing')), work);
      assert.equal(failure.code, 'invalid-argument');
      assert.match(failure.hint, /listModels/);
    }
  });
});

describe('threads that read what is stored', () => {
  /** Seven chunks: enough for such threads to be started. */
  const LARGE = fileOf(scriptedModel({ ...SCRIPT, unused: 25_000 }));
  const worker = (request, response) => sendFile(request, response, `${ROOT}pkg/worker.js`);

  for (const [what, reader] of [
    ['come are given the work', worker],
    ['cannot be started are done without', (_, response) => response.writeHead(404).end()],
    ['never come are not waited for', () => undefined],
  ]) {
    test(`those that ${what}, and a damaged chunk is found and fetched again`, async (t) => {
      const served = serve(undefined, LARGE);
      await page.evaluate(() => qwen3.downloadModel('/model.gguf'));
      await page.evaluate((name) => flip(name, 5), nameOf());
      const { routes } = bench.server;
      t.after(() => ['worker.js', 'engine-cpu.wasm'].forEach((file) => routes.delete(`/pkg/${file}`)));
      const asked = [];
      const started = new Gate();
      routes.set('/pkg/worker.js', (request, response) => {
        asked.push(response);
        // The engine's thread and its two readers.
        if (asked.length === 3) started.open();
        return (asked.length === 1 ? worker : reader)(request, response);
      });
      routes.set('/pkg/engine-cpu.wasm', async (request, response) => {
        await started.opened;
        // By now they are most likely ready, and would read the damaged chunk.
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await sendFile(request, response, `${ROOT}pkg/engine-cpu.wasm`);
      });
      assert.equal(await page.evaluate(() => answer('/model.gguf')), ANSWER);
      assert.equal(served.bytes, LARGE.size + CHUNK);
      assert.equal(asked.length, 3);
      for (const response of asked) response.destroy();
    });
  }
});

describe('a crash', () => {
  /** Makes the database of a page fail for good at its `last`-th write, as if the process had ended there; counts the writes. */
  const crashAt = (page, last) => page.evaluate((last) => {
    globalThis.writes = 0;
    for (const method of ['put', 'delete']) {
      const work = IDBObjectStore.prototype[method];
      IDBObjectStore.prototype[method] = function (...args) {
        globalThis.writes += 1;
        if (globalThis.writes < last) return work.apply(this, args);
        this.transaction.abort();
        throw new DOMException('crashed', 'AbortError');
      };
    }
  }, last);

  test('between any two writes leaves what the next load goes on from', async () => {
    let steps = Infinity;
    for (let step = 1; step <= steps; step += 1) {
      serve();
      const dying = await tab();
      await crashAt(dying, step);
      const outcome = await dying.evaluate(() => attempt(() => answer('/model.gguf', { worker: false })));
      const writes = await dying.evaluate(() => globalThis.writes);
      await dying.close();
      if (writes < step) {
        assert.equal(outcome.value, ANSWER);
        steps = writes;
      } else {
        assert.equal(outcome.code, 'storage-unavailable', JSON.stringify(outcome));
      }
      const stored = await page.evaluate(async () => (await qwen3.listModels())[0]?.completeBytes ?? 0);
      const rest = serve();
      assert.equal(await page.evaluate(() => answer('/model.gguf')), ANSWER, `after a crash at write ${step}`);
      assert.equal(rest.bytes, MODEL.size - stored, `after a crash at write ${step}`);
      const { complete, damaged } = await page.evaluate((name) => qwen3.verifyModel(name), nameOf());
      assert.deepEqual([complete, damaged], [true, []]);
      await page.evaluate((name) => qwen3.deleteModel(name), nameOf());
    }
    // A manifest and a chunk for each of three, and the mark of use at the end.
    assert.ok(steps >= 7, `${steps} writes`);
  });

  test('while a model is deleted leaves all of it or nothing', async () => {
    for (let step = 1; step <= 2; step += 1) {
      serve();
      await page.evaluate(() => qwen3.downloadModel('/model.gguf'));
      const dying = await tab();
      await crashAt(dying, step);
      await dying.evaluate((name) => attempt(() => qwen3.deleteModel(name)), nameOf());
      await dying.close();
      const { complete, damaged } = await page.evaluate((name) => qwen3.verifyModel(name), nameOf());
      assert.deepEqual([complete, damaged], [true, []]);
    }
  });
});

describe('versions of the store', () => {
  for (const [what, chunks, fetched] of [['whole', 3, 0], ['half', 2, MODEL.size - 2 * CHUNK]]) {
    test(`a ${what} model that version 1 stored goes on in version 2`, async (t) => {
      const old = await start();
      t.after(() => old.stop());
      const served = serve(undefined, MODEL, old);
      const fresh = await tab(old);
      await fresh.evaluate(async ({ name, chunks, size, sha256, CHUNK }) => {
        const bytes = new Uint8Array(await (await fetch('/model.gguf')).arrayBuffer());
        const storedBytes = Math.min(size, chunks * CHUNK);
        await new Promise((resolve) => {
          const open = indexedDB.open('qwen3-web', 1);
          open.onupgradeneeded = () => {
            const manifests = open.result.createObjectStore('manifests', { keyPath: 'name' });
            const store = open.result.createObjectStore('chunks');
            const complete = storedBytes === size;
            manifests.put({ version: 1, name, verified: complete, lastUsed: 1, files: [{ role: 'weights', urls: [name], sizeBytes: size, storedBytes, complete, etag: '"v1"', sha256 }] });
            for (let index = 0; index < chunks; index += 1) store.put(bytes.slice(index * CHUNK, (index + 1) * CHUNK), [name, 0, index]);
          };
          open.onsuccess = () => resolve(open.result.close());
        });
      }, { name: nameOf(old), chunks, size: MODEL.size, sha256: MODEL.sha256, CHUNK });
      const before = served.bytes;
      assert.equal(await fresh.evaluate(() => answer('/model.gguf')), ANSWER);
      assert.equal(served.bytes - before, fetched);
      const [{ complete, verified }] = await fresh.evaluate(() => qwen3.listModels());
      assert.deepEqual([complete, verified], [true, true]);
    });
  }

  test('a store of a later version is refused with a hint, and loading without it works', async (t) => {
    const later = await start();
    t.after(() => later.stop());
    serve(undefined, MODEL, later);
    const fresh = await tab(later);
    await fresh.evaluate(() => new Promise((resolve) => {
      const open = indexedDB.open('qwen3-web', 99);
      open.onsuccess = () => resolve(open.result.close());
    }));
    const [refused, without] = await fresh.evaluate(async () => [await attempt(() => answer('/model.gguf')), await answer('/model.gguf', { cache: 'none' })]);
    assert.equal(refused.code, 'storage-unavailable');
    assert.match(refused.hint, /reload/);
    assert.equal(without, ANSWER);
  });
});

describe('many tabs', () => {
  for (const count of [2, 4]) {
    test(`${count} tabs that want the same model fetch it once, and all show how far it is`, async () => {
      const queue = new Gate();
      const served = serve(({ count }) => ({ slow: 30, wait: count === 0 ? undefined : queue.opened }));
      const tabs = await Promise.all(Array.from({ length: count }, () => tab()));
      const loads = tabs.map((tab) => tab.evaluate(async () => {
        const seen = [];
        const text = await answer('/model.gguf', { onProgress: ({ phase, loadedBytes, totalBytes }) => phase === 'download' && seen.push([loadedBytes, totalBytes]) });
        return { text, seen };
      }));
      await page.evaluate(async (others) => {
        const waiting = async () => (await navigator.locks.query()).pending.filter(({ name }) => name.startsWith('qwen3-web write')).length;
        while (await waiting() < others) await new Promise((resolve) => setTimeout(resolve, 20));
      }, count - 1);
      queue.open();
      const results = await Promise.all(loads);
      assert.ok(served.bytes <= 1.01 * MODEL.size, `${served.bytes} of ${MODEL.size} bytes`);
      for (const { text, seen } of results) {
        assert.equal(text, ANSWER);
        assert.ok(seen.some(([loaded, total]) => loaded > 0 && loaded < total && total === MODEL.size), JSON.stringify(seen));
      }
      await Promise.all(tabs.map((tab) => tab.close()));
    });
  }

  test('when the tab that downloads is closed another goes on from there', async () => {
    const served = serve(() => ({ slow: 8 }));
    const [first, second] = await Promise.all([tab(), tab()]);
    await first.evaluate(() => new Promise((resolve) => {
      qwen3.downloadModel('/model.gguf', { connections: 1, onProgress: ({ loadedBytes }) => loadedBytes > 5e6 && resolve() });
    }));
    const waiting = second.evaluate(() => answer('/model.gguf'));
    await first.close();
    assert.equal(await waiting, ANSWER);
    assert.ok(served.bytes <= MODEL.size + CHUNK, `${served.bytes}`);
    await second.close();
  });

  test('a tab that gives up waiting does so at once, and the other is not disturbed', async () => {
    const given = new Gate();
    serve(({ count }) => ({ wait: count === 0 ? undefined : given.opened }));
    const [first, second] = await Promise.all([tab(), tab()]);
    const loading = first.evaluate(() => new Promise((resolve, reject) => {
      answer('/model.gguf', { onProgress: ({ loadedBytes }) => { globalThis.begun ||= loadedBytes > 0; } }).then(resolve, reject);
    }));
    // Tabs in the background have no frames to wait for.
    await first.evaluate(async () => {
      while (!globalThis.begun) await new Promise((resolve) => setTimeout(resolve, 20));
    });
    const failure = await second.evaluate(() => attempt(() => answer('/model.gguf', { signal: AbortSignal.timeout(300) })));
    assert.equal(failure.code, 'aborted');
    given.open();
    assert.equal(await loading, ANSWER);
    await Promise.all([first.close(), second.close()]);
  });

  test('a model that a tab uses cannot be deleted, in this tab or another, until it is unloaded or the tab is closed', async () => {
    serve();
    const [first, second] = await Promise.all([tab(), tab()]);
    const load = () => first.evaluate(async () => {
      globalThis.model = await qwen3.loadModel('/model.gguf', { device: 'cpu' });
    });
    const remove = (from) => from.evaluate((name) => attempt(() => qwen3.deleteModel(name)), nameOf());
    await load();
    for (const failure of [await remove(first), await remove(second)]) {
      assert.equal(failure.code, 'busy');
      assert.match(failure.hint, /unload/);
    }
    await first.evaluate(() => model.unload());
    assert.equal((await remove(second)).code, undefined);
    await load();
    await first.close();
    // The browser takes its time to end the worker of a closed tab.
    while ((await remove(second)).code === 'busy');
    assert.deepEqual(await second.evaluate(() => qwen3.listModels()), []);
    await second.close();
  });
});

describe('room', () => {
  test('what cannot fit is refused with numbers before the first byte, and what is in the way is named', async (t) => {
    const full = await start();
    t.after(() => full.stop());
    full.server.routes.set('/small.gguf', faulty(MODEL));
    const served = serve(undefined, MODEL, full);
    const fresh = await tab(full);
    await fresh.evaluate(() => qwen3.downloadModel('/small.gguf'));
    const [failure, flight] = await fresh.evaluate(async () => {
      const source = { urls: ['/model.gguf'], sizeBytes: 1e15 };
      return [await attempt(() => qwen3.downloadModel(source)), await qwen3.preflight(source)];
    });
    assert.equal(failure.code, 'quota-exceeded', JSON.stringify(failure));
    assert.match(failure.message, /^1000000000000000 bytes .* has \d+ left .*\(\d+ of \d+ are used\)/);
    assert.ok(failure.hint.includes(`delete '${full.server.url}/small.gguf' (${MODEL.size} bytes, last used 20`), failure.hint);
    assert.equal(served.requests.length, 0);
    assert.equal(flight.fits, false);
    assert.deepEqual(flight.toDelete, [`${full.server.url}/small.gguf`]);
  });

  test('preflight tells what is stored, what is still to come and what is free, and names the least recently used that would make room', async () => {
    const paths = ['/first.gguf', '/second.gguf', '/third.gguf'];
    for (const path of paths) bench.server.routes.set(path, faulty(MODEL));
    const size = 1e9;
    const free = [0, 1, MODEL.size, MODEL.size + 1].map((lacking) => size - lacking);
    const { whole, flights, usage } = await page.evaluate(async ([paths, size, free]) => {
      for (const path of paths) await qwen3.downloadModel(path);
      // A load counts as use.
      await answer('/first.gguf');
      const usage = await qwen3.storageUsage();
      const { estimate } = navigator.storage;
      const room = async (free) => {
        navigator.storage.estimate = async () => ({ usage: usage.usedBytes, quota: usage.usedBytes + free });
        return qwen3.preflight({ urls: ['/model.gguf'], sizeBytes: size });
      };
      const flights = [];
      for (const bytes of free) flights.push(await room(bytes));
      navigator.storage.estimate = estimate;
      return { whole: await qwen3.preflight('/second.gguf'), flights, usage };
    }, [paths, size, free]);
    const [, second, third] = paths.map((path) => bench.server.url + path);
    assert.deepEqual([whole.fits, whole.storedBytes, whole.downloadBytes], [true, MODEL.size, 0]);
    assert.ok(whole.freeBytes > 0 && whole.freeBytes <= usage.quotaBytes);
    assert.deepEqual(flights.map(({ freeBytes, downloadBytes }) => [freeBytes, downloadBytes]), free.map((bytes) => [bytes, size]));
    assert.deepEqual(flights.map(({ fits }) => fits), [true, false, false, false]);
    assert.deepEqual(flights.map(({ toDelete }) => toDelete), [[], [second], [second], [second, third]]);
    assert.deepEqual(flights[3].reasons, [`${size} bytes are to be stored, and the browser has ${free[3]} left for this site`]);
  });

  test('the browser is asked once to keep what a download stores, and not for what is not stored', async () => {
    serve();
    const fresh = await tab();
    const asked = await fresh.evaluate(async () => {
      let asked = 0;
      navigator.storage.persist = async () => { asked += 1; return false; };
      const counts = [];
      await answer('/model.gguf', { cache: 'none' });
      counts.push(asked);
      await qwen3.downloadModel('/model.gguf');
      counts.push(asked);
      await answer('/model.gguf');
      await qwen3.downloadModel({ urls: ['/scripted.gguf'] });
      counts.push(asked);
      return counts;
    });
    assert.deepEqual(asked, [0, 1, 1]);
    await fresh.close();
  });

  test('a disk that fills up half way keeps what is stored, and with another model deleted the download goes on from there', async (t) => {
    // Noise, which no database makes smaller. One alone fits, both do not.
    const full = await start({ quotaBytes: 40 * MB });
    t.after(() => full.stop());
    const other = `${full.server.url}/other.gguf`;
    full.server.routes.set('/other.gguf', faulty(noise(18 * MB, 1)));
    const file = noise(30 * MB);
    // It tells its size only at the end: what does not fit is not known beforehand.
    let untold = true;
    const served = serve(() => ({ plain: untold }), file, full);
    const fresh = await tab(full);
    await fresh.evaluate(() => qwen3.downloadModel('/other.gguf'));
    const failure = await fresh.evaluate(() => attempt(() => qwen3.downloadModel('/model.gguf')));
    assert.equal(failure.code, 'quota-exceeded', JSON.stringify(failure));
    assert.match(failure.message, /^the browser refused to store more: it gives this site \d+ bytes, it says, and \d+ are used/);
    assert.ok(failure.hint.includes(`delete '${other}'`), failure.hint);
    const { completeBytes } = await fresh.evaluate(async () => (await qwen3.listModels()).find(({ name }) => name.endsWith('/model.gguf')));
    assert.ok(completeBytes >= 2 * CHUNK, `${completeBytes}`);
    await fresh.evaluate((name) => qwen3.deleteModel(name), other);
    // Chromium counts what was deleted for a while.
    await full.liftQuota();
    const before = served.bytes;
    untold = false;
    const stored = await fresh.evaluate(() => qwen3.downloadModel('/model.gguf'));
    assert.deepEqual([stored.complete, served.bytes - before], [true, file.size - completeBytes]);
  });
});

describe('in and out', () => {
  test('an exported model is the file it was, and can be imported where there is no network', async () => {
    serve();
    const source = { urls: ['/model.gguf'], ...PIN };
    await page.evaluate((source) => qwen3.downloadModel(source), source);
    const exported = await page.evaluate(async (name) => {
      const [file] = await qwen3.exportModel(name);
      globalThis.saved = await new Response(file.stream()).blob();
      return { name: file.name, sizeBytes: file.sizeBytes, bytes: saved.size };
    }, nameOf());
    assert.deepEqual(exported, { name: 'model.gguf', sizeBytes: MODEL.size, bytes: MODEL.size });
    const served = serve(() => ({ status: 404 }));
    const [stored, text] = await page.evaluate(async ([source, name]) => {
      await qwen3.deleteModel(name);
      return [await qwen3.importModel(source, new File([saved], 'renamed.gguf')), await answer(source)];
    }, [source, nameOf()]);
    assert.deepEqual([stored.complete, stored.verified, text, served.requests.length], [true, true, ANSWER, 0]);
  });

  test('a file that is not the model it is imported as is refused, and nothing of it stays', async () => {
    const wrong = Buffer.from(MODEL.read(0, MODEL.size));
    wrong[5 * MB] ^= 1;
    bench.server.routes.set('/wrong.gguf', faulty(fileOf(wrong)));
    const [flipped, page404, short, left] = await page.evaluate(async (source) => {
      const file = await (await fetch('/wrong.gguf')).blob();
      return [
        await attempt(() => qwen3.importModel(source, file)),
        await attempt(() => qwen3.importModel(source, new Blob(['<!doctype html>']))),
        await attempt(() => qwen3.importModel(source, file.slice(0, 1e6))),
        await qwen3.listModels(),
      ];
    }, { urls: ['/model.gguf'], ...PIN });
    assert.deepEqual([flipped.code, page404.code, short.code], ['integrity-mismatch', 'download-failed', 'download-failed']);
    assert.match(short.message, /holds 1000000 bytes/);
    assert.deepEqual(left, []);
  });

  test('a folder of safetensors is exported file by file and imported by names', async () => {
    const folder = '/fixtures/shards/';
    const before = await page.evaluate((folder) => qwen3.downloadModel(folder), folder);
    const after = await page.evaluate(async ([folder, name]) => {
      const files = await Promise.all((await qwen3.exportModel(name)).map(async (file) => new File([await new Response(file.stream()).blob()], file.name)));
      await qwen3.deleteModel(name);
      // The index is among the files that are asked for and not stored.
      files.push(new File([await (await fetch(`${folder}model.safetensors.index.json`)).blob()], 'model.safetensors.index.json'));
      return qwen3.importModel(folder, files.reverse());
    }, [folder, before.name]);
    assert.deepEqual([after.complete, after.sizeBytes], [true, before.sizeBytes]);
  });
});
