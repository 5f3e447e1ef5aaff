// What the first visit of the demo page fetches before it can answer, without the model: as small as it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliCompressSync, constants } from 'node:zlib';
import { launch, open, ROOT } from './chromium.mjs';
import { serve } from './server.mjs';

const MOST_BYTES = 1.5e6;
/** Quicker than the best that a host would use, and no smaller. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };

for (const webgpu of [false, true]) {
  test(`the page and its engine ${webgpu ? 'for WebGPU' : 'for the CPU'} are at most 1.5 MB after Brotli`, async () => {
    const server = await serve({ '/': `${ROOT}www/dist/` });
    const context = await launch({ webgpu });
    try {
      const bodies = new Map();
      context.on('response', (response) => bodies.set(response.url(), response.body()));
      const page = await open(context, `${server.url}/?device=${webgpu ? 'webgpu' : 'cpu'}`);
      await page.evaluate(() => window.qwen3Demo.ready);
      let sum = 0;
      for (const [url, body] of bodies) {
        // The service worker's copies for a visit without network come after, and the model is none of the page.
        if (!url.endsWith('.gguf')) sum += brotliCompressSync(await body, BROTLI).length;
      }
      const names = [...bodies.keys()].map((url) => new URL(url).pathname);
      assert.ok(names.some((name) => name.includes(webgpu ? 'engine-gpu' : 'engine-cpu')), names.join(' '));
      assert.ok(sum > 0 && sum <= MOST_BYTES, `${sum} bytes: ${names.join(' ')}`);
    } finally {
      await context.close();
      await server.close();
    }
  });
}
