// Downloads over a network that fails in every way a network does: the file ends complete and verified, or there is a typed error.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { start } from './bench.mjs';
import { faulty, noise, random } from './faults.mjs';

const CHUNK = 4 * 1024 * 1024;
const MB = 1_000_000;

let bench;
let page;
before(async () => {
  bench = await start();
  page = await bench.page();
});
after(() => bench.stop());
beforeEach(() => forgetAll(page));

const forgetAll = (page) => page.evaluate(async () => {
  for (const { name } of await qwen3.listModels()) await qwen3.deleteModel(name);
});

/** Puts a file with its faults on the server and downloads it; with what came of it, the requests it took and the bytes served. */
async function download(file, faults, options = {}, pin = {}) {
  const route = faulty(file, faults);
  bench.server.routes.set('/file.gguf', route);
  const result = await page.evaluate(([pin, options]) => attempt(() => qwen3.downloadModel({ urls: ['/file.gguf'], ...pin }, options)), [pin, options]);
  return { ...result, ...route.served };
}

const pinned = ({ size, sha256 }) => ({ sizeBytes: size, sha256 });

/** Reads back all that is stored and holds it against the hash. */
async function assertStored(file, verified = true) {
  const found = await page.evaluate(async () => {
    const [{ name }] = await qwen3.listModels();
    return qwen3.verifyModel(name);
  });
  assert.deepEqual([found.complete, found.verified, found.damaged], [true, verified, []]);
  const [exported] = await page.evaluate(async () => {
    const [{ name }] = await qwen3.listModels();
    const [file] = await qwen3.exportModel(name);
    const bytes = await new Response(file.stream()).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return [Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')];
  });
  assert.equal(exported, file.sha256);
}

describe('a sound network', () => {
  test('parts are fetched side by side, each byte once', async () => {
    const file = noise(30 * MB);
    let open = 0;
    let most = 0;
    const { value, requests, bytes } = await download(file, ({ response }) => {
      most = Math.max(most, ++open);
      response.on('close', () => { open -= 1; });
      return { slow: 1 };
    }, {}, pinned(file));
    assert.deepEqual([value.complete, value.verified, value.completeBytes], [true, true, file.size]);
    assert.equal(bytes, file.size);
    assert.equal(requests.length, Math.ceil(file.size / CHUNK));
    assert.ok(most > 1 && most <= 4, `${most} at once`);
    await assertStored(file);
  });

  test('progress tells bytes, speed and time left', async () => {
    bench.server.routes.set('/file.gguf', faulty(noise(20 * MB)));
    const reports = await page.evaluate(async () => {
      const reports = [];
      await qwen3.downloadModel('/file.gguf', { connections: 2, onProgress: (progress) => reports.push(progress) });
      return reports;
    });
    assert.ok(reports.every(({ phase, file, fromCache }) => phase === 'download' && file === 'file.gguf' && !fromCache));
    assert.deepEqual(reports.map(({ loadedBytes }) => loadedBytes), reports.map(({ loadedBytes }) => loadedBytes).sort((a, b) => a - b));
    assert.equal(reports.at(-1).loadedBytes, 20 * MB);
    assert.ok(reports.some(({ bytesPerSecond, etaSeconds, totalBytes }) => bytesPerSecond > 0 && etaSeconds >= 0 && totalBytes === 20 * MB));
  });

  test('a server without ranges sends one stream; one that tells no size, too', async () => {
    const file = noise(18 * MB);
    const whole = await download(file, () => ({ ignoreRange: true }), {}, pinned(file));
    assert.deepEqual([whole.value?.verified, whole.bytes, whole.requests.length], [true, file.size, 1], JSON.stringify(whole));
    await forgetAll(page);
    const untold = await download(file, () => ({ plain: true }));
    assert.deepEqual([untold.value?.complete, untold.value?.sizeBytes, untold.bytes], [true, file.size, file.size], JSON.stringify(untold));
    await assertStored(file, false);
  });

  test('a redirect that loses the range is coped with', async () => {
    const file = noise(18 * MB);
    const behind = faulty(file, () => ({ ignoreRange: true }));
    bench.server.routes.set('/behind.gguf', behind);
    const { value } = await download(file, () => ({ redirect: '/behind.gguf' }), {}, pinned(file));
    assert.equal(value.verified, true);
    assert.equal(behind.served.bytes, file.size);
    await assertStored(file);
  });
});

describe('a network that fails', () => {
  test('connections that are cut go on at the byte where they broke', async () => {
    const file = noise(30 * MB);
    const next = random(1);
    const { value, bytes, requests } = await download(file, ({ count }) => (count < 20 ? { cut: Math.floor(next() * 3 * MB) } : undefined), {}, pinned(file));
    assert.equal(value?.verified, true);
    assert.ok(requests.length >= 20);
    // What a cut connection still held in its buffers is sent again, and nothing else is.
    assert.ok(bytes <= file.size + 20 * 2 * MB && bytes < file.size * 1.5, `${bytes} bytes`);
    await assertStored(file);
  });

  for (const [what, faults, options] of [
    ['a storm of 503 and 429 with Retry-After', ({ count }) => (count % 3 !== 2 && count < 24 ? { status: count % 2 ? 503 : 429, retryAfter: count % 2 ? undefined : '0' } : undefined)],
    ['stalls', ({ count }) => (count % 4 === 1 && count < 12 ? { stall: 100_000 } : undefined), { stallTimeoutMs: 1500 }],
    ['truncated bodies', ({ count }) => (count % 3 === 1 && count < 12 ? { truncate: 50_000 } : undefined)],
    ['wrong ranges', ({ count }) => (count % 3 === 1 && count < 12 ? { shift: 1000 } : undefined)],
    ['a server that forgets ranges half way', ({ count }) => (count >= 3 ? { ignoreRange: true } : undefined)],
    ['a server that forgets ranges half way and is cut', ({ count }) => (count === 3 || count === 4 ? { ignoreRange: true, cut: 6 * MB } : count > 4 ? { ignoreRange: true } : undefined)],
    ['a byte flipped on its way, once', (() => {
      let flipped = false;
      return ({ from, to }) => (!flipped && from <= 9 * MB && to > 9 * MB ? { flip: (flipped = true) && 9 * MB } : undefined);
    })()],
  ]) {
    test(`${what}: complete and verified`, async () => {
      const file = noise(22 * MB);
      const { value, ...failure } = await download(file, faults, options, pinned(file));
      assert.equal(value?.verified, true, JSON.stringify(failure).slice(0, 500));
      await assertStored(file);
    });
  }

  test('Retry-After is waited for, as seconds and as a date', async () => {
    const file = noise(3 * MB);
    for (const inSeconds of [true, false]) {
      await forgetAll(page);
      // A date has whole seconds.
      const until = Math.ceil(Date.now() / 1000 + 1) * 1000;
      const at = [];
      const { value } = await download(file, ({ count }) => {
        at.push(Date.now());
        return count === 0 ? { status: 429, retryAfter: inSeconds ? '1' : new Date(until).toUTCString() } : undefined;
      });
      assert.equal(value.complete, true);
      assert.ok(at[1] >= (inSeconds ? at[0] + 1000 : until), `asked at ${at} with ${inSeconds ? 'a second' : until} to wait`);
    }
  });

  test('a server that stays down, or has no such file, gives way to the next mirror', async () => {
    const file = noise(9 * MB);
    for (const [path, fault] of [['/gone.gguf', { status: 404 }], ['/down.gguf', { status: 503 }], ['/portal.gguf', { portal: 'text/html' }]]) {
      bench.server.routes.set(path, faulty(file, () => fault));
    }
    const good = faulty(file);
    bench.server.routes.set('/good.gguf', good);
    const stored = await page.evaluate((pin) => qwen3.downloadModel({ urls: ['/gone.gguf', '/down.gguf', '/portal.gguf', '/good.gguf'], ...pin }), pinned(file));
    assert.equal(stored.verified, true);
    assert.equal(good.served.bytes, file.size);
  });

  test('a mirror that is lost half way gives way to the next, and nothing is fetched twice', async () => {
    const file = noise(22 * MB);
    const first = faulty(file, ({ count }) => (count < 2 ? undefined : { status: 403 }));
    const second = faulty(file, () => ({ etag: '"named otherwise"' }));
    bench.server.routes.set('/first.gguf', first);
    bench.server.routes.set('/second.gguf', second);
    const stored = await page.evaluate((pin) => qwen3.downloadModel({ urls: ['/first.gguf', '/second.gguf'], ...pin }), pinned(file));
    assert.equal(stored.verified, true);
    assert.equal(first.served.bytes + second.served.bytes, file.size);
    await assertStored(file);
  });

  test('a byte that is always wrong is integrity-mismatch after a second try, and nothing of it stays', async () => {
    const file = noise(9 * MB);
    const { code, message, bytes } = await download(file, () => ({ flip: 5 * MB }), {}, pinned(file));
    assert.equal(code, 'integrity-mismatch');
    assert.ok(message.includes(file.sha256));
    assert.equal(bytes, 2 * file.size);
    assert.deepEqual(await page.evaluate(() => qwen3.listModels()), []);
  });

  for (const [mark, old, young] of [
    ['ETag', {}, { etag: '"v2"' }],
    ['Last-Modified', { lastModified: 'Sat, 01 Nov 2025 10:00:00 GMT' }, { lastModified: 'Sun, 02 Nov 2025 10:00:00 GMT' }],
  ]) {
    test(`a file that changes half way, told by ${mark}, is fetched again as it is now`, async () => {
      const [before, now] = [noise(22 * MB, 1), noise(22 * MB, 2)];
      const { value } = await download(before, ({ count }) => (count < 3 ? old : { file: now, ...young }));
      assert.equal(value?.complete, true);
      await assertStored(now, false);
    });
  }

  test('a file that changed while the page was closed is noticed', async () => {
    const [before, now] = [noise(22 * MB, 3), noise(22 * MB, 4)];
    const { code } = await download(before, ({ count }) => (count < 3 ? undefined : { status: 404 }));
    assert.equal(code, 'download-failed');
    const { value } = await download(now, () => ({ etag: '"v2"' }));
    assert.equal(value?.complete, true);
    await assertStored(now, false);
  });

  test('a captive portal half way is told as what it is, keeps what is stored, and the download goes on after it', async () => {
    const file = noise(22 * MB);
    for (const portal of ['text/html', 'application/octet-stream']) {
      await forgetAll(page);
      const { code, message, hint } = await download(file, ({ count }) => (count < 3 ? undefined : { portal }));
      assert.equal(code, 'download-failed');
      assert.match(message, /HTML page/);
      assert.match(hint, /sign-in/);
      const [{ completeBytes }] = await page.evaluate(() => qwen3.listModels());
      assert.ok(completeBytes >= CHUNK, `${completeBytes}`);
      const rest = await download(file);
      assert.equal(rest.value.complete, true);
      assert.equal(rest.bytes, file.size - completeBytes);
      await assertStored(file, false);
    }
  });

  test('a signal ends it, and what is stored stays', async () => {
    const file = noise(22 * MB);
    const route = faulty(file);
    bench.server.routes.set('/file.gguf', route);
    const failure = await page.evaluate(() => {
      const controller = new AbortController();
      const onProgress = ({ loadedBytes }) => loadedBytes > 12e6 && controller.abort();
      return attempt(() => qwen3.downloadModel('/file.gguf', { signal: controller.signal, onProgress }));
    });
    assert.equal(failure.code, 'aborted');
    const [{ completeBytes }] = await page.evaluate(() => qwen3.listModels());
    const rest = await download(file);
    assert.equal(rest.bytes, file.size - completeBytes);
  });

  test('the caller\'s own fetch and headers are used for every part', async () => {
    bench.server.routes.set('/file.gguf', faulty(noise(18 * MB)));
    const seen = await page.evaluate(async () => {
      const seen = [];
      const own = (url, init) => {
        seen.push(new Headers(init.headers).get('authorization'));
        return fetch(url, init);
      };
      await qwen3.downloadModel('/file.gguf', { fetch: own, headers: { Authorization: 'Bearer t' } });
      return seen;
    });
    assert.deepEqual(seen, Array(5).fill('Bearer t'));
  });
});

/** A page of its own; where the server is just restarting, as soon as it is back. */
async function tabOnceServed() {
  for (;;) {
    try {
      return await bench.page();
    } catch (error) {
      if (!String(error).includes('CONNECTION_REFUSED')) throw error;
    }
  }
}

describe('a large file', () => {
  // Firefox, where the same was seen with 400 MB, takes twice as long.
  const size = (process.env.BROWSER === 'firefox' ? 120 : 400) * MB;
  test(`${size / MB} MB, 20 cuts, 5 closed tabs and a server that restarts: complete, verified, and hardly a byte twice`, async () => {
    const file = noise(size);
    const next = random(7);
    let cuts = 0;
    const route = faulty(file, ({ count, from, to }) => {
      if (count % (size > 200 * MB ? 4 : 2) !== 1 || cuts === 20) return undefined;
      cuts += 1;
      if (cuts === 10) return { restart: true };
      return cuts % 5 === 0 ? { status: 503, retryAfter: '0' } : { cut: Math.floor(next() * (to - from)) };
    });
    bench.server.routes.set('/large.gguf', route);
    for (let closed = 0; closed < 5; closed += 1) {
      const tab = await tabOnceServed();
      const until = (closed + next()) * size / 6;
      await tab.evaluate((until) => new Promise((resolve) => {
        qwen3.downloadModel('/large.gguf', { onProgress: ({ loadedBytes }) => loadedBytes >= until && resolve() }).catch(() => undefined);
      }), until);
      await tab.close();
    }
    const value = await page.evaluate((pin) => qwen3.downloadModel({ urls: ['/large.gguf'], ...pin }), pinned(file));
    assert.deepEqual([value.complete, value.verified], [true, true]);
    assert.equal(cuts, 20);
    const twice = route.served.bytes - file.size;
    assert.ok(twice <= 25 * CHUNK, `${twice} bytes were sent twice`);
    await page.evaluate((name) => qwen3.deleteModel(name), value.name);
  });
});
