// What both ways to compare libraries serve: the package, the others, the checkpoints and the page, isolated so that threads work.

import { createServer } from 'node:http';
import { readFile, stat } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress } from 'node:zlib';

import { ROOT } from '../../tests/browser/chromium.mjs';
import { sendFile } from '../../tests/browser/server.mjs';

/** Bytes of a file after Brotli at its best, which takes a minute for the largest. */
const compressed = new Map();
async function brotliBytes(file) {
  const { size, mtimeMs } = await stat(file);
  const key = `${file} ${size} ${mtimeMs}`;
  if (!compressed.has(key)) compressed.set(key, promisify(brotliCompress)(await readFile(file)).then(({ length }) => length));
  return await compressed.get(key);
}

/** Serves `checkpoints`, a folder, and all else; on `port`, or a free one. `modules` holds the libraries. */
export async function serveBench({ checkpoints, modules = `${ROOT}bench/peers/node_modules`, port = 0 }) {
  const mounts = { '/pkg/': `${ROOT}pkg/`, '/modules/': modules, '/checkpoints/': checkpoints, '/': `${ROOT}bench/peers/` };
  /** The files of libraries that were sent since the last question. */
  const sent = new Set();
  const library = async () => {
    const files = [...sent];
    sent.clear();
    const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
    return {
      libraryBytes: sum(await Promise.all(files.map(async (file) => (await stat(file)).size))),
      libraryBrotliBytes: sum(await Promise.all(files.map(brotliBytes))),
    };
  };
  const answer = async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    if (pathname === '/library.json') return void response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(await library()));
    const prefix = Object.keys(mounts).find((mount) => pathname.startsWith(mount));
    const rest = decodeURIComponent(pathname.slice(prefix.length));
    const file = join(mounts[prefix], normalize(`/${rest === '' ? 'index.html' : rest}`));
    // The browser keeps libraries, as it would of any site; of weights each library keeps what it wants to.
    response.setHeader('Cache-Control', prefix === '/checkpoints/' ? 'no-store' : 'no-cache');
    if (['/pkg/', '/modules/'].includes(prefix)) {
      const tag = await stat(file).then(({ size, mtimeMs }) => `"${size}-${mtimeMs}"`, () => undefined);
      if (tag !== undefined) response.setHeader('ETag', tag);
      if (tag !== undefined && request.headers['if-none-match'] === tag) return void response.writeHead(304).end();
      if (tag !== undefined && !file.endsWith('.gguf')) sent.add(file);
    }
    await sendFile(request, response, file);
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.writeHead(400).end());
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}`,
    library,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}
