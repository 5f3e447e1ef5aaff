// The demo page without a network, after one visit: its shell, its engine, the model that ships with it, and one that was downloaded.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ANSWER, serveModels } from './bench.mjs';
import { launch, open, ROOT } from './chromium.mjs';
import { launchFirefox } from './firefox.mjs';
import { serve } from './server.mjs';

let context;
let server;
before(async () => {
  server = await serve({ '/sub/path/': `${ROOT}www/dist/` });
  serveModels(server);
  context = process.env.BROWSER === 'firefox' ? await launchFirefox() : await launch();
});
after(() => context?.close());

const answered = (page) => page.evaluate(async () => {
  await window.qwen3Demo.ready;
  let result;
  for await (const event of window.qwen3Demo.run('2x + 1 = 5', { maxTokens: 40, seed: 1 })) if (event.type === 'done') result = event.result;
  return result;
});

test('one visit with a network is enough to chat without one, and to be isolated on a host that sends no headers', async () => {
  const address = `${server.url}/sub/path/`;
  const page = await open(context, `${address}?model=/scripted.gguf`);
  assert.equal((await answered(page)).content, ANSWER);
  await page.evaluate(() => navigator.serviceWorker.ready);
  assert.ok(server.requests.includes('/sub/path/manifest.webmanifest'));
  await page.close();

  await server.close();
  const [own, downloaded] = [await open(context, address), await open(context, `${address}?model=/scripted.gguf`)];
  const { content, thinking } = await answered(own);
  assert.ok((content + thinking).length > 0);
  assert.equal((await answered(downloaded)).content, ANSWER);
  const installable = await own.evaluate(async () => {
    const { start_url: start, icons } = await (await fetch(document.querySelector('link[rel=manifest]').href)).json();
    return [start, icons.length];
  });
  assert.deepEqual(installable, ['./', 1]);
  assert.equal(await own.evaluate(() => crossOriginIsolated), true);
});

test('what is not part of the page passes the service worker by', async () => {
  const page = await open(context, `${server.url}/sub/path/`);
  const failures = await page.evaluate(async () => Promise.all(['/scripted.gguf', 'nothing.js', '/other/index.html'].map((path) => fetch(path).then(() => undefined, ({ name }) => name))));
  assert.deepEqual(failures, ['TypeError', 'TypeError', 'TypeError']);
  const caches = await page.evaluate(async () => Promise.all((await globalThis.caches.keys()).map(async (name) => (await (await globalThis.caches.open(name)).keys()).length)));
  assert.equal(caches.length, 1);
});
