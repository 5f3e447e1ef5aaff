// What both ways to compare libraries serve: the package, the peers, the model and the page, isolated so that threads work.

import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';

import { ROOT } from '../../tests/browser/chromium.mjs';
import { sendFile } from '../../tests/browser/server.mjs';

/** The tokens of Qwen3's vocabulary that are no UTF-8 by themselves; none where its tokenizer has not been fetched. */
export function notText() {
  const file = `${ROOT}.cache/tokenizer-qwen3-3.7.2/package/models/tokenizer.json`;
  if (!existsSync(file)) return [];
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte));
  const byteOf = (character) => {
    const code = character.codePointAt(0);
    return code < 256 ? code : others[code - 256];
  };
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const whole = (token) => {
    try {
      decoder.decode(Uint8Array.from(Array.from(token, byteOf)));
      return true;
    } catch {
      return false;
    }
  };
  const { vocab } = JSON.parse(readFileSync(file, 'utf8')).model;
  return Object.entries(vocab).filter(([token]) => !whole(token)).map(([, id]) => id);
}

/** Serves on `port`, or a free one. */
export async function serveBench(model, port = 0) {
  const mounts = { '/pkg/': `${ROOT}pkg/`, '/modules/': `${ROOT}bench/peers/node_modules/`, '/': `${ROOT}bench/peers/` };
  const unreadable = JSON.stringify(notText());
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Cache-Control', 'no-store');
    if (pathname === '/model.gguf') return void sendFile(request, response, model);
    if (pathname === '/not-text.json') return void response.writeHead(200, { 'Content-Type': 'application/json' }).end(unreadable);
    const prefix = Object.keys(mounts).find((mount) => pathname.startsWith(mount));
    const rest = pathname.slice(prefix.length);
    void sendFile(request, response, join(mounts[prefix], normalize(`/${rest === '' ? 'index.html' : rest}`)));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}`,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}
