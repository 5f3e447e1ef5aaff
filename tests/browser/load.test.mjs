// Loading through the public API: every kind of source, what is kept between loads, and what happens when things go wrong.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ANSWER, scripted, start } from './bench.mjs';
import { gguf } from './scripted.mjs';
import { rangeOf } from './server.mjs';

const SHA256 = createHash('sha256').update(scripted).digest('hex');

let bench;
let page;
before(async () => {
  bench = await start();
  page = await bench.page();
  await page.evaluate(() => {
    globalThis.answer = async (model) => {
      const { content } = await model.chat([{ role: 'user', content: 'hi' }]);
      await model.unload();
      return content;
    };
    globalThis.load = (source, options) => qwen3.loadModel(source, { device: 'cpu', cache: 'none', ...options });
  });
});
after(() => bench.stop());
beforeEach(() => page.evaluate(async () => {
  for (const { name } of await qwen3.listModels()) await qwen3.deleteModel(name);
}));

/** Answers with these bytes or the part that is asked for, with what `change` does to the response before. */
function bytes(body, change = () => true) {
  return (request, response) => {
    const range = rangeOf(request, body.length);
    const { from, to } = range ?? { from: 0, to: body.length };
    const headers = { 'Content-Length': to - from, ETag: '"v1"', ...(range === undefined ? {} : { 'Content-Range': `bytes ${from}-${to - 1}/${body.length}` }) };
    if (change(request, response)) response.writeHead(range === undefined ? 200 : 206, headers).end(body.subarray(from, to));
  };
}

describe('sources', () => {
  test('an address, a File, an ArrayBuffer, a stream, and a list of mirrors', async () => {
    const answers = await page.evaluate(async (sha256) => {
      const data = await (await fetch('/scripted.gguf')).arrayBuffer();
      const sources = [
        '/scripted.gguf',
        new URL('/scripted.gguf', location.href),
        new File([data], 'own.gguf'),
        data,
        new Blob([data]).stream(),
        { urls: ['/nowhere.gguf', '/scripted.gguf'], sha256, sizeBytes: data.byteLength },
      ];
      const answers = [];
      for (const source of sources) answers.push(await answer(await load(source)));
      return answers;
    }, SHA256);
    assert.deepEqual(answers, Array(6).fill(ANSWER));
  });

  test('the caller\'s own fetch and headers', async () => {
    bench.server.routes.set('/guarded.gguf', bytes(scripted, (request, response) => {
      if (request.headers.authorization === 'Bearer t') return true;
      response.writeHead(401).end();
      return false;
    }));
    const seen = await page.evaluate(async () => {
      const asked = [];
      const own = (url, init) => {
        asked.push(new URL(url).pathname);
        return fetch(url, init);
      };
      const headers = { Authorization: 'Bearer t' };
      return {
        without: await attempt(() => load('/guarded.gguf')),
        withHeaders: await answer(await load('/guarded.gguf', { headers })),
        withFetch: await answer(await load('/guarded.gguf', { headers, fetch: own })),
        asked,
      };
    });
    assert.equal(seen.without.code, 'download-failed');
    assert.match(seen.without.message, /401/);
    assert.match(seen.without.hint, /Authorization/);
    assert.deepEqual([seen.withHeaders, seen.withFetch, seen.asked], [ANSWER, ANSWER, ['/guarded.gguf']]);
  });
});

describe('what is kept', () => {
  for (const cache of ['indexeddb', 'memory']) {
    test(`a second load from ${cache} asks the network for nothing of the model`, async () => {
      const { server } = bench;
      const first = await page.evaluate(async (cache) => answer(await load('/scripted.gguf', { cache })), cache);
      const before = server.requests.filter((path) => path === '/scripted.gguf').length;
      const { second, phases, stored } = await page.evaluate(async (cache) => {
        const phases = new Set();
        const model = await load('/scripted.gguf', { cache, onProgress: ({ phase, fromCache }) => phases.add(`${phase} ${fromCache}`) });
        return { second: await answer(model), phases: [...phases], stored: await qwen3.listModels() };
      }, cache);
      assert.equal(server.requests.filter((path) => path === '/scripted.gguf').length, before);
      assert.deepEqual([first, second], [ANSWER, ANSWER]);
      assert.deepEqual(phases, ['upload true', 'compile true']);
      assert.equal(stored.length, 1);
      assert.deepEqual({ ...stored[0], lastUsed: 0 }, {
        name: `${server.url}/scripted.gguf`, source: `${server.url}/scripted.gguf`, sizeBytes: scripted.length,
        completeBytes: scripted.length, complete: true, verified: false, lastUsed: 0,
      });
    });
  }

  test('a folder of safetensors is kept whole and works with the network cut', async () => {
    const folder = '/fixtures/shards';
    const once = await page.evaluate(async (folder) => {
      const model = await load(folder, { cache: 'indexeddb' });
      const ids = Array.from(await model.tokenize('hello'));
      await model.unload();
      return ids;
    }, folder);
    const before = bench.server.requests.filter((path) => path.startsWith(folder)).length;
    const again = await page.evaluate(async (folder) => {
      const model = await load(folder, { cache: 'indexeddb' });
      const ids = Array.from(await model.tokenize('hello'));
      await model.unload();
      return ids;
    }, folder);
    assert.ok(once.length > 0);
    assert.deepEqual(again, once);
    assert.equal(bench.server.requests.filter((path) => path.startsWith(folder)).length, before);
  });

  test('an index of shards names files of its folder and nothing else', async () => {
    for (const name of ['https://elsewhere.example/a.safetensors', '//elsewhere.example/a.safetensors', '../a.safetensors', 'b\\a.safetensors', '']) {
      const index = JSON.stringify({ weight_map: { 'model.norm.weight': name } });
      bench.server.routes.set('/escape/model.safetensors.index.json', (_, response) => response.writeHead(200, { 'Content-Length': index.length }).end(index));
      const error = await page.evaluate(() => attempt(() => load('/escape/')));
      assert.equal(error.code, 'malformed-file', name);
      assert.match(error.message, /which is no file of its folder/);
    }
    const torn = '{"weight_map":';
    bench.server.routes.set('/escape/model.safetensors.index.json', (_, response) => response.writeHead(200, { 'Content-Length': torn.length }).end(torn));
    const error = await page.evaluate(() => attempt(() => load('/escape/')));
    assert.deepEqual([error.code, error.message], ['malformed-file', 'model.safetensors.index.json is not JSON']);
  });

  test('a pinned hash is checked, and what matched counts as verified', async () => {
    const { stored, mismatch, left } = await page.evaluate(async (sha256) => {
      await (await load({ urls: ['/scripted.gguf'], sha256 }, { cache: 'indexeddb' })).unload();
      const [stored] = await qwen3.listModels();
      await qwen3.deleteModel(stored.name);
      const mismatch = await attempt(() => load({ urls: ['/scripted.gguf'], sha256: '0'.repeat(64) }, { cache: 'indexeddb' }));
      return { stored, mismatch, left: await qwen3.listModels() };
    }, SHA256);
    assert.equal(stored.verified, true);
    assert.equal(mismatch.code, 'integrity-mismatch');
    assert.deepEqual(left, []);
  });

  test('a file that was damaged on its way is fetched again', async () => {
    let served = 0;
    const damaged = Buffer.from(scripted);
    damaged[damaged.length - 100] ^= 1;
    bench.server.routes.set('/flaky.gguf', (request, response) => bytes(served++ === 0 ? damaged : scripted)(request, response));
    const content = await page.evaluate(async (sha256) => answer(await load({ urls: ['/flaky.gguf'], sha256 }, { cache: 'indexeddb' })), SHA256);
    assert.deepEqual([content, served], [ANSWER, 2]);
  });

  test('storage can be asked about', async () => {
    const { usage, known, unknown } = await page.evaluate(async () => ({
      usage: await qwen3.storageUsage(),
      known: await qwen3.preflight({ urls: ['/scripted.gguf'], sizeBytes: 1e15 }),
      unknown: await qwen3.preflight('/scripted.gguf'),
    }));
    assert.ok(usage.quotaBytes > 0 && typeof usage.persisted === 'boolean');
    assert.equal(known.fits, false);
    assert.match(known.reasons[0], /1000000000000000 bytes/);
    assert.equal(unknown.fits, true);
    assert.equal(unknown.downloadBytes, scripted.length);
  });
});

describe('a load that is given up', () => {
  test('a signal ends a load, keeps what is stored, and the next load works', async () => {
    const failure = await page.evaluate(async () => {
      const controller = new AbortController();
      const reason = new Error('enough');
      const result = await attempt(() => load('/scripted.gguf', { signal: controller.signal, onProgress: () => controller.abort(reason) }));
      const early = await attempt(() => load('/scripted.gguf', { signal: AbortSignal.abort() }));
      return { result, early, next: await answer(await load('/scripted.gguf')) };
    });
    assert.equal(failure.result.code, 'aborted');
    assert.equal(failure.early.code, 'aborted');
    assert.equal(failure.next, ANSWER);
  });

  for (const part of ['worker.js', 'engine-cpu.wasm']) {
    test(`a signal ends a load whose ${part} never comes, and the next load works`, async () => {
      const asked = new Promise((resolve) => bench.server.routes.set(`/pkg/${part}`, (_, response) => resolve(response)));
      await page.evaluate(() => {
        globalThis.controller = new AbortController();
        globalThis.given = attempt(() => load('/scripted.gguf', { cache: 'indexeddb', signal: controller.signal }));
      });
      const held = await asked;
      bench.server.routes.delete(`/pkg/${part}`);
      const given = await page.evaluate(() => {
        controller.abort();
        return globalThis.given;
      });
      held.destroy();
      assert.equal(given.code, 'aborted', JSON.stringify(given));
      assert.equal(await page.evaluate(async () => answer(await load('/scripted.gguf', { cache: 'indexeddb' }))), ANSWER);
    });
  }
});

describe('bad input', () => {
  const whole = scripted;
  const html = '<!doctype html><title>Sign in</title><p>Please sign in.';
  const withArchitecture = (name) => gguf({ 'general.architecture': name }, { 'token_embd.weight': { shape: [32, 2], data: new Float32Array(64) } });
  const cases = [
    ['a truncated GGUF', '/truncated.gguf', whole.subarray(0, whole.length - 5000), 'malformed-file'],
    ['a GGUF cut in its header', '/header.gguf', whole.subarray(0, 1000), 'malformed-file'],
    ['another architecture', '/mamba.gguf', withArchitecture('mamba'), 'unsupported-model'],
    ['a tensor that points past the end', '/past.gguf', gguf({ 'general.architecture': 'qwen3' }, { 'token_embd.weight': { shape: [32, 2], data: new Float32Array(64), at: 1 << 30 } }), 'malformed-file'],
    ['something that is no GGUF', '/noise.gguf', Buffer.alloc(4096, 7), 'download-failed'],
    ['an HTML page by its type', '/page.gguf', html, 'download-failed', { 'Content-Type': 'text/html' }],
    ['an HTML page in disguise', '/disguise.gguf', html, 'download-failed', { 'Content-Type': 'application/octet-stream' }],
    ['a Git LFS pointer', '/pointer.gguf', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', 'download-failed'],
    ['an empty file', '/empty.gguf', '', 'download-failed'],
  ];
  for (const [what, path, body, code, headers = {}] of cases) {
    test(`${what} is ${code}, and the next load works`, async () => {
      bench.server.routes.set(path, (_, response) => response.writeHead(200, headers).end(body));
      const { failure, left, next } = await page.evaluate(async (path) => ({
        failure: await attempt(() => load(path, { cache: 'indexeddb' })),
        left: await qwen3.listModels(),
        next: await answer(await load('/scripted.gguf')),
      }), path);
      assert.equal(failure.code, code, JSON.stringify(failure));
      assert.ok(failure.typed && failure.name === 'Qwen3Error' && failure.message.length > 15, JSON.stringify(failure));
      assert.ok(failure.hint.length > 10 || code === 'download-failed', `no hint: ${JSON.stringify(failure)}`);
      assert.deepEqual(left, [], 'nothing of it is kept');
      assert.equal(next, ANSWER);
    });
  }

  test('a 404, a missing tokenizer and a missing folder say what was not there', async () => {
    bench.server.routes.set('/bare/config.json', (_, response) => response.end('{"architectures":["Qwen3ForCausalLM"]}'));
    const [file, tokenizer, folder] = await page.evaluate(async () => [
      await attempt(() => load('/absent.gguf')), await attempt(() => load('/bare/')), await attempt(() => load('/absent/')),
    ]);
    for (const [failure, path] of [[file, 'absent.gguf'], [tokenizer, 'tokenizer.json'], [folder, 'config.json']]) {
      assert.equal(failure.code, 'download-failed');
      assert.match(failure.message, /404/);
      assert.ok(failure.message.includes(path), failure.message);
      assert.ok(failure.hint.length > 10);
    }
  });

  test('a GGUF without a tokenizer is refused with a hint', async () => {
    const { tokens: _, ...failure } = await page.evaluate(async () => attempt(async () => {
      const data = new Uint8Array(await (await fetch('/scripted.gguf')).arrayBuffer());
      const text = new TextEncoder().encode('tokenizer.ggml.');
      const at = (from) => data.findIndex((byte, index) => index >= from && byte === text[0] && text.every((other, place) => data[index + place] === other));
      for (let place = at(0); place >= 0; place = at(place + 1)) data[place] = 'x'.charCodeAt(0);
      return load(new Blob([data]));
    }));
    assert.ok(['malformed-file', 'unsupported-model'].includes(failure.code), JSON.stringify(failure));
    assert.match(failure.message + failure.hint, /token/i);
  });

  test('wrong arguments are told by name, value and range', async () => {
    const failures = await page.evaluate(async () => {
      const tries = [
        ['/scripted.gguf', { devise: 'cpu' }], ['/scripted.gguf', { device: 'gpu' }], ['/scripted.gguf', { contextLength: 0 }],
        ['/scripted.gguf', { contextLength: 1e6 }], ['/scripted.gguf', { onProgress: 3 }], ['/scripted.gguf', { headers: [1] }],
        ['qwen3-9000b', {}], [42, {}], [{ urls: [] }, {}], [{ urls: ['/a.gguf'], sha256: 'x' }, {}], [{ urls: ['/a.gguf'], size: 1 }, {}],
        ['/model-00002-of-00003.gguf', {}], ['http://', {}],
      ];
      const failures = [];
      for (const [source, options] of tries) failures.push(await attempt(() => load(source, options)));
      return failures;
    });
    const expected = [/devise/, /device.*'auto'.*'cpu'.*'gpu'/, /contextLength.*1.*0/, /1000000/, /onProgress.*function.*3/, /headers/, /qwen3-9000b/, /42/, /urls/, /sha256.*64/, /size/, /00002/, /URL/];
    for (const [index, failure] of failures.entries()) {
      assert.equal(failure.code, 'invalid-argument', JSON.stringify(failure));
      assert.match(failure.message, expected[index]);
    }
  });

  test('without an adapter, insisting on WebGPU fails and automatic takes the CPU', async () => {
    const { insisted, automatic, diagnosis } = await page.evaluate(async () => {
      const model = await qwen3.loadModel('/scripted.gguf', { cache: 'none' });
      const automatic = model.info.device;
      await model.unload();
      return { insisted: await attempt(() => load('/scripted.gguf', { device: 'webgpu' })), automatic, diagnosis: await qwen3.diagnose() };
    });
    assert.equal(insisted.code, 'webgpu-unavailable');
    assert.ok(insisted.hint.includes('cpu'));
    assert.equal(automatic, 'cpu');
    assert.equal(diagnosis.adapter, undefined);
    assert.ok(diagnosis.version && diagnosis.userAgent && diagnosis.worker && diagnosis.storage.quotaBytes > 0);
  });
});
