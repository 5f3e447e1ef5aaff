// Logits through the public API in a real browser agree with Hugging Face transformers, on WebGPU and on the CPU.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { start } from './bench.mjs';
import { ROOT } from './chromium.mjs';

/** Checkpoints and the largest relative error of their logits: 1e-4 for unquantised weights, 1e-3 for quantised. */
const CHECKPOINTS = {
  'narrow-f32.gguf': 1e-4, 'narrow-f16.gguf': 1e-4, shards: 1e-4,
  'narrow-q4_0.gguf': 1e-3, 'narrow-q4_1.gguf': 1e-3, 'narrow-q5_0.gguf': 1e-3, 'narrow-q5_1.gguf': 1e-3, 'narrow-q8_0.gguf': 1e-3,
  'super-q4_k.gguf': 1e-3, 'super-q5_k.gguf': 1e-3, 'super-q6_k.gguf': 1e-3,
};

const relativeError = (actual, expected) => {
  const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(expected.map((value, index) => value - actual[index])) / norm(expected);
};

/**
 * The kernels for real adapters run too, which a software adapter never takes by itself and runs slowly: what is theirs
 * alone is the same for every type, so two checkpoints show it.
 */
const BACKENDS = [
  { device: 'cpu', names: Object.keys(CHECKPOINTS) },
  { device: 'webgpu', kernels: 'software', names: Object.keys(CHECKPOINTS) },
  { device: 'webgpu', kernels: 'hardware', names: ['narrow-q4_0.gguf', 'super-q6_k.gguf'] },
  // As if the adapter had been found to be fastest with subgroups and a prefill in integers.
  { device: 'webgpu', kernels: 'hardware', variant: 'subgroups-64-integers', names: ['narrow-q4_0.gguf', 'super-q4_k.gguf', 'super-q6_k.gguf'] },
];

for (const { device, kernels = 'auto', variant, names } of BACKENDS) {
  describe(`logits on ${device}, ${variant ?? kernels} kernels`, () => {
    let bench;
    let page;
    before(async () => {
      bench = await start({ webgpu: device === 'webgpu' });
      page = await bench.page();
    });
    after(() => bench.stop());
    /** The variant that is remembered for the adapter, after putting another in its place if one is given. */
    const remembered = (variant) => page.evaluate(async (variant) => {
      const cache = await caches.open('qwen3-web-kernels');
      const [entry] = await cache.keys();
      if (variant !== undefined) {
        const { headers } = await cache.match(entry);
        await cache.put(entry, new Response(variant, { headers }));
      }
      return (await cache.match(entry)).text();
    }, variant);
    if (variant !== undefined) {
      before(async () => {
        await page.evaluate(async (kernels) => {
          await (await globalThis.qwen3.loadModel('/fixtures/narrow-q4_0.gguf', { device: 'webgpu', kernels, cache: 'none' })).unload();
        }, kernels);
        await remembered(variant);
      });
    }
    for (const name of names) {
      const tolerance = CHECKPOINTS[name];
      test(`${name} agrees with transformers`, async () => {
        const expected = JSON.parse(readFileSync(`${ROOT}tests/fixtures/checkpoints/${name.replace('.gguf', '')}.json`, 'utf8'));
        const positions = Object.keys(expected.logits).map(Number);
        const actual = await page.evaluate(async ({ name, device, kernels, tokens, positions }) => {
          const model = await globalThis.qwen3.loadModel(`/fixtures/${name}`, { device, kernels, cache: 'none' });
          if (model.info.device !== device) throw new Error(`asked for ${device}, got ${model.info.device}`);
          const logits = [];
          for (const position of positions) logits.push(Array.from(await model.logits(tokens.slice(0, position + 1))));
          await model.unload();
          return logits;
        }, { name, device, kernels, tokens: expected.tokens, positions });
        for (const [index, position] of positions.entries()) {
          const error = relativeError(actual[index], expected.logits[position]);
          assert.ok(error <= tolerance, `position ${position}: relative error ${error} of at most ${tolerance}`);
        }
      });
    }
    if (variant !== undefined) test('they were taken', async () => assert.equal(await remembered(), variant));
  });
}

/** long-q8_0.gguf, which asks for YaRN itself, as it was before it was stretched: 512 positions. */
function unstretched() {
  const bytes = readFileSync(`${ROOT}tests/fixtures/checkpoints/long-q8_0.gguf`);
  for (let at; (at = bytes.indexOf('qwen3.rope.scaling.')) >= 0;) bytes.write('other', at);
  const key = 'qwen3.context_length';
  // After the key its type, a u32, then the value.
  bytes.writeUInt32LE(512, bytes.indexOf(key) + key.length + 4);
  return bytes;
}

for (const device of ['cpu', 'webgpu']) {
  test(`yarnFactor on ${device} stretches a network as transformers does, and only if asked`, async () => {
    const bench = await start({ webgpu: device === 'webgpu' });
    try {
      bench.server.routes.set('/unstretched.gguf', (_, response) => response.end(unstretched()));
      const page = await bench.page();
      const expected = JSON.parse(readFileSync(`${ROOT}tests/fixtures/checkpoints/long-q8_0.json`, 'utf8'));
      const { plain, stretched, twice, wrong } = await page.evaluate(async ({ device, tokens }) => {
        const of = async (path, yarnFactor) => {
          const model = await globalThis.qwen3.loadModel(path, { device, cache: 'none', yarnFactor, contextLength: 512 });
          const logits = [...await model.logits(tokens)];
          await model.unload();
          return { logits, positions: model.info.maxContextLength };
        };
        return {
          plain: await of('/unstretched.gguf'),
          stretched: await of('/unstretched.gguf', 4),
          twice: await globalThis.attempt(() => of('/fixtures/long-q8_0.gguf', 4)),
          wrong: await globalThis.attempt(() => of('/unstretched.gguf', 1)),
        };
      }, { device, tokens: expected.tokens });
      const last = expected.logits[expected.tokens.length - 1];
      assert.ok(relativeError(stretched.logits, last) <= 1e-3, 'as transformers computes it');
      assert.ok(relativeError(plain.logits, last) > 1e-2, 'otherwise it is another network');
      assert.deepEqual([plain.positions, stretched.positions], [512, 2048]);
      assert.equal(twice.code, 'unsupported-model');
      assert.match(twice.message, /yarnFactor.*already/);
      assert.equal(wrong.code, 'invalid-argument');
      assert.match(wrong.message, /yarnFactor.*a number above 1, at most 64.*1/);
    } finally {
      await bench.stop();
    }
  });
}

test('an adapter that has passed the self-test is not asked again within a week', async () => {
  const bench = await start({ webgpu: true });
  try {
    const page = await bench.page();
    const shaders = await page.evaluate(async () => {
      const { createShaderModule } = GPUDevice.prototype;
      let made = 0;
      GPUDevice.prototype.createShaderModule = function (...args) {
        made += 1;
        return createShaderModule.apply(this, args);
      };
      const load = async () => {
        made = 0;
        const options = { device: 'webgpu', kernels: 'software', cache: 'none', worker: false };
        await (await globalThis.qwen3.loadModel('/fixtures/narrow-q4_0.gguf', options)).unload();
        return made;
      };
      const counts = [await load(), await load()];
      const cache = await caches.open('qwen3-web-kernels');
      for (const key of await cache.keys()) {
        const choice = await cache.match(key);
        const date = new Date(Date.now() - 8 * 24 * 60 * 60 * 1000).toUTCString();
        await cache.put(key, new Response(await choice.text(), { headers: { date } }));
      }
      return [...counts, await load()];
    });
    assert.ok(shaders[1] > 0 && shaders[1] < shaders[0], `${shaders}`);
    assert.equal(shaders[2], shaders[0], 'after a week it is');
  } finally {
    await bench.stop();
  }
});

test('an adapter that computes garbage is refused, and automatic takes the CPU', async () => {
  const bench = await start({ webgpu: true });
  try {
    const page = await bench.page();
    const { refusals, automatic, warnings, remembered, healthy } = await page.evaluate(async () => {
      // What a driver is that compiles something wrongly, in a browser that takes it for a real GPU: the norms, and the sampler alone.
      const { createShaderModule } = GPUDevice.prototype;
      const damages = [(code) => code.replaceAll('inverseSqrt(', 'sqrt('), (code) => code.replaceAll('before(c, best)', 'before(best, c)')];
      let damage;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return createShaderModule.call(this, { ...descriptor, code: damage(descriptor.code) });
      };
      for (const word of ['vendor', 'architecture', 'device', 'description']) Object.defineProperty(GPUAdapterInfo.prototype, word, { get: () => 'real' });
      Object.defineProperty(GPUAdapterInfo.prototype, 'isFallbackAdapter', { get: () => false });

      const load = (options) => globalThis.qwen3.loadModel('/fixtures/narrow-q4_0.gguf', { kernels: 'software', cache: 'none', worker: false, ...options });
      const deviceOf = async (options) => {
        const model = await load(options);
        await model.unload();
        return model.info.device;
      };
      const refusals = [];
      for (damage of damages) refusals.push(await globalThis.attempt(() => load({ device: 'webgpu' })));
      const warnings = [];
      const logger = { debug() {}, info() {}, warn: (...told) => warnings.push(told), error() {} };
      const automatic = await deviceOf({ logger });
      const remembered = await caches.open('qwen3-web-kernels').then((cache) => cache.keys()).then((keys) => keys.length);
      damage = (code) => code;
      return { refusals, automatic, warnings, remembered, healthy: await deviceOf({}) };
    });
    for (const { code, hint } of refusals) {
      assert.equal(code, 'self-test-failed');
      assert.match(hint, /driver.*'cpu'/);
    }
    assert.match(refusals[0].message, /real.*is off by.*is allowed/);
    assert.match(refusals[1].message, /real.*draws.*a known network that says/);
    assert.equal(automatic, 'cpu');
    assert.match(JSON.stringify(warnings), /passed over.*self-test-failed/);
    assert.equal(remembered, 0, 'a failure is no choice');
    assert.equal(healthy, 'webgpu', 'the same adapter, computing rightly');
  } finally {
    await bench.stop();
  }
});
