// What most tests start from: a server with the package and the fixtures, a browser, and pages that have the package as `qwen3`.

import { launch, open, ROOT } from './chromium.mjs';
import { scriptedModel } from './scripted.mjs';
import { serve } from './server.mjs';

/** What the scripted model at /scripted.gguf thinks and says. */
export const SCRIPT = { thinking: ['Okay', ',', ' first', ' multiply', '.', ' 😀'], answer: ['The', ' answer', ' is', ' **', '68', '**', '!'] };
export const THINKING = SCRIPT.thinking.join('');
export const ANSWER = SCRIPT.answer.join('');
export const scripted = scriptedModel(SCRIPT);

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

/** Starts server and browser; a test file ends them with `stop`. */
export async function start({ webgpu = false } = {}) {
  const server = await serve({ '/pkg/': `${ROOT}pkg/`, '/fixtures/': `${ROOT}tests/fixtures/checkpoints/` });
  serveModels(server);
  const context = await launch({ webgpu });
  return {
    async stop() {
      await context.close();
      await server.close();
    },
    server,
    context,
    /** A fresh page of the same site with the package in `globalThis.qwen3`, and `attempt` that turns a failure into data. */
    async page() {
      const page = await open(context, `${server.url}/blank.html`);
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
