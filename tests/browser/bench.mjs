// What most tests start from: a server with the package and the fixtures, a browser, and pages that have the package as `qwen3`.

import { launch, open, ROOT } from './chromium.mjs';
import { launchFirefox } from './firefox.mjs';
import { call, scriptedModel } from './scripted.mjs';
import { serve } from './server.mjs';

/** What the scripted model at /scripted.gguf thinks and says. */
export const SCRIPT = { thinking: ['Okay', ',', ' first', ' multiply', '.', ' 😀'], answer: ['The', ' answer', ' is', ' **', '68', '**', '!'] };
export const THINKING = SCRIPT.thinking.join('');
export const ANSWER = SCRIPT.answer.join('');
export const scripted = scriptedModel(SCRIPT);

/** Asks for the weather in two places, and, told ①, reports. */
export const WEATHER = scriptedModel({
  thinking: ['Hm', ',', ' tools'],
  answer: ['<tool_call>', call('weather', { city: 'Paris' }), '</tool_call>', '<tool_call>', call('weather', { city: 'Rome' }), '</tool_call>'],
  turns: [{ after: '①', answer: ['Sunny', ' in', ' both'] }],
  context: 2048,
});

/** What the site of a test serves besides files: a model that says {@link SCRIPT}, one that never stops talking, one that never stops thinking. */
export const MODELS = {
  '/scripted.gguf': scripted,
  '/endless.gguf': scriptedModel({ thinking: ['Hm'], answer: [' on', ' and'], endless: 'answer', context: 4096 }),
  '/musing.gguf': scriptedModel({ thinking: [' round', ' and'], answer: ['Done'], endless: 'thinking', context: 4096 }),
};

/** Puts {@link MODELS} on a server. */
export function serveModels(server) {
  for (const [path, body] of Object.entries(MODELS)) {
    server.routes.set(path, (_, response) => response.writeHead(200, { 'Content-Length': body.length, ETag: '"1"' }).end(body));
  }
}

/**
 * Starts server and browser; a test file ends them with `stop`. The browser is Chromium unless `BROWSER` says firefox. `mounts` are
 * further folders to serve, `isolated` is as {@link serve} has it. `quotaBytes` is what the browser lets the site store, until `liftQuota` where that can be lifted.
 */
export async function start({ webgpu = false, mounts = {}, isolated, quotaBytes } = {}) {
  const server = await serve({ '/pkg/': `${ROOT}pkg/`, '/fixtures/': `${ROOT}tests/fixtures/checkpoints/`, ...mounts }, { isolated });
  serveModels(server);
  const context = process.env.BROWSER === 'firefox' ? await launchFirefox({ quotaBytes }) : await launch({ webgpu });
  const setQuota = async (quotaSize) => {
    if (process.env.BROWSER === 'firefox') return;
    const devtools = await context.newCDPSession(await context.newPage());
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: server.url, ...(quotaSize === undefined ? {} : { quotaSize }) });
  };
  if (quotaBytes !== undefined) await setQuota(quotaBytes);
  return {
    liftQuota: () => setQuota(undefined),
    async stop() {
      await context.close();
      await server.close();
    },
    server,
    context,
    /** A fresh page of the same site with the package in `globalThis.qwen3`, and `attempt` that turns a failure into data. */
    async page(path = '/blank.html') {
      const page = await open(context, server.url + path);
      await page.evaluate(async () => {
        globalThis.qwen3 = await import('/pkg/index.js');
        globalThis.attempt = async (work) => {
          try {
            return { value: await work() };
          } catch (error) {
            const { name, code, message, hint, recoverable } = error;
            return { name, code, message, hint, recoverable, typed: error instanceof globalThis.qwen3.Qwen3Error };
          }
        };
      });
      return page;
    },
  };
}
