// Loading takes little more memory than the device keeps: the file is never held whole, whether it comes from the network or the store.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SCRIPT, start } from './bench.mjs';
import { faulty, fileOf } from './faults.mjs';
import { scriptedModel } from './scripted.mjs';

/** Some 100 MB: more than a load may take beside the device's own copy. */
const MODEL = fileOf(scriptedModel({ ...SCRIPT, width: 64_000 }));
const LIMIT = 64_000_000;

for (const device of ['cpu', 'webgpu']) {
  describe(`memory of a load on ${device}`, () => {
    let bench;
    before(async () => {
      bench = await start({ webgpu: device === 'webgpu' });
      bench.server.routes.set('/model.gguf', faulty(MODEL));
    });
    after(() => bench.stop());

    for (const from of ['network', 'store']) {
      test(`from the ${from}`, async () => {
        const page = await bench.page();
        const devtools = await bench.context.newCDPSession(page);
        const held = async () => {
          const { usedSize, embedderHeapUsedSize, backingStorageSize } = await devtools.send('Runtime.getHeapUsage');
          return usedSize + embedderHeapUsedSize + backingStorageSize;
        };
        await devtools.send('HeapProfiler.collectGarbage');
        const before = await held();
        // In the page's own thread, whose memory can be asked for.
        const load = page.evaluate(async (device) => {
          const instantiate = WebAssembly.instantiateStreaming;
          let memory;
          WebAssembly.instantiateStreaming = async (...args) => {
            const result = await instantiate.apply(WebAssembly, args);
            memory = result.instance.exports.memory;
            return result;
          };
          let stored;
          const model = await qwen3.loadModel('/model.gguf', { device, worker: false, onProgress: ({ fromCache }) => { stored ??= fromCache; } });
          const { weightBytes, kvCacheBytes } = model.info;
          const wasmBytes = memory.buffer.byteLength;
          await model.unload();
          return { stored, wasmBytes, keptBytes: weightBytes + kvCacheBytes };
        }, device);
        let peak = 0;
        let loading = true;
        const loaded = load.finally(() => { loading = false; });
        while (loading) peak = Math.max(peak, await held() - before);
        const { stored, wasmBytes, keptBytes } = await loaded;
        // WebAssembly's memory never shrinks, and the engine's own copy lies there on the CPU only.
        const kept = device === 'cpu' ? keptBytes : 0;
        assert.equal(stored, from === 'store');
        assert.ok(keptBytes > 1.4 * LIMIT, `${keptBytes}`);
        assert.ok(wasmBytes + peak <= kept + LIMIT, `${wasmBytes} bytes of WebAssembly memory and ${peak} of JavaScript's, where ${kept} are kept`);
        await page.close();
      });
    }
  });
}
