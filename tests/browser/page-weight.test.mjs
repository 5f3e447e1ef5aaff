// What the first visit of the demo page fetches before it can answer, without the model: as small as it says.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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
      const paths = new Set();
      // The service worker's copies, for a visit without network, come after.
      context.on('request', (request) => request.serviceWorker() === null && paths.add(new URL(request.url()).pathname));
      const page = await open(context, `${server.url}/?device=${webgpu ? 'webgpu' : 'cpu'}`);
      await page.evaluate(() => window.qwen3Demo.ready);
      // The model is none of the page.
      const names = [...paths].filter((path) => !path.endsWith('.gguf')).map((path) => (path === '/' ? 'index.html' : path.slice(1)));
      const sum = names.reduce((bytes, name) => bytes + brotliCompressSync(readFileSync(`${ROOT}www/dist/${name}`), BROTLI).length, 0);
      assert.ok(names.some((name) => name.includes(webgpu ? 'engine-gpu' : 'engine-cpu')), names.join(' '));
      assert.ok(sum <= MOST_BYTES, `${sum} bytes: ${names.join(' ')}`);
    } finally {
      await context.close();
      await server.close();
    }
  });
}
