// What the tests of the demo page start from: the page at a sub-path, a browser without WebGPU, and the ways a person uses it.

import { serveModels } from './bench.mjs';
import { launch, open, ROOT } from './chromium.mjs';
import { scriptedModel } from './scripted.mjs';
import { serve } from './server.mjs';

/** Speaks all the Markdown the page shows in a way of its own. */
const RICH = [
  '# Heading\n\n', 'Some *words* and $a^2 + b^2 = c^2$, at $5 or $6.\n\n', '```python\n', 'def f(x):\n', '    return x + 1\n', '```\n\n',
  '| a | b |\n|---|---|\n| 1 | 2 |\n\n', '$$\n\\frac{1}{2}\n$$\n\n', '- [x] done\n', '- <img src=x onerror=alert(1)> <b class="problem">bold</b>\n\n',
  '[link](https://example.com/) <script>alert(2)</script>', ' end',
];

/** A model that says all of that. */
export const rich = scriptedModel({ thinking: ['Hm'], answer: RICH });

/** Starts server and browser; `close` ends them. */
export async function startDemo(options = {}) {
  const server = await serve({ '/sub/path/': `${ROOT}www/dist/` });
  serveModels(server);
  server.routes.set('/rich.gguf', (_, response) => response.writeHead(200, { 'Content-Length': rich.length, ETag: '"1"' }).end(rich));
  const context = await launch({ locale: 'en-GB', ...options });
  const foreign = [];
  context.on('request', (request) => {
    if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) foreign.push(request.url());
  });
  return {
    server,
    context,
    /** Requests to other hosts so far. */
    foreign,
    /** The page at that query and hash, without waiting for a model. */
    open: (query = '') => open(context, `${server.url}/sub/path/${query}`),
    /** The page with that model loaded. */
    async page(model = '', query = '') {
      const page = await open(context, `${server.url}/sub/path/${model === '' ? `?${query}` : `?model=${model}&${query}`}`);
      await page.evaluate(() => window.qwen3Demo.ready);
      return page;
    },
    async close() {
      await context.close();
      await server.close();
    },
  };
}

/** Sends a prompt; resolves when the reply to it has ended. */
export async function ask(page, prompt) {
  const before = await page.locator('.stats').count();
  await begin(page, prompt);
  await page.waitForFunction((count) => document.querySelectorAll('.stats').length > count, before);
}

/** Sends a prompt and does not wait. */
export async function begin(page, prompt) {
  await page.fill('#prompt', prompt);
  await page.press('#prompt', 'Enter');
}
