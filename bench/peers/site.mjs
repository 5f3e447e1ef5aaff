// What both ways to compare libraries serve: the package, the others, the checkpoints and the page, isolated so that threads work.

import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join, normalize, relative } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress } from 'node:zlib';

import { ROOT } from '../../tests/browser/chromium.mjs';
import { sendFile } from '../../tests/browser/server.mjs';

/** By hash, what Brotli at its best makes of files; of the largest that takes minutes, so it is kept. */
const COMPRESSED = `${ROOT}.cache/bench/brotli.json`;

/** What files of this repository weigh, as they are and after Brotli. */
export async function weigh(files) {
  const compressed = JSON.parse(await readFile(COMPRESSED, 'utf8').catch(() => '{}'));
  const figures = { libraryBytes: 0, libraryBrotliBytes: 0 };
  for (const file of files) {
    const bytes = await readFile(join(ROOT, file));
    const hash = createHash('sha256').update(bytes).digest('hex');
    compressed[hash] ??= (await promisify(brotliCompress)(bytes)).length;
    figures.libraryBytes += bytes.length;
    figures.libraryBrotliBytes += compressed[hash];
  }
  await mkdir(dirname(COMPRESSED), { recursive: true });
  await writeFile(COMPRESSED, JSON.stringify(compressed));
  return figures;
}

/** Serves `checkpoints`, a folder, and all else; on `port`, or a free one. `modules` holds the libraries. */
export async function serveBench({ checkpoints, modules = `${ROOT}bench/peers/node_modules`, port = 0 }) {
  const mounts = { '/pkg/': `${ROOT}pkg/`, '/modules/': modules, '/checkpoints/': checkpoints, '/': `${ROOT}bench/peers/` };
  const sent = new Set();
  /** The files of libraries that were sent since the last question. */
  const library = () => {
    const files = Array.from(sent, (file) => relative(ROOT, file));
    sent.clear();
    return files;
  };
  const answer = async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    if (pathname === '/library.json') return void response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(await weigh(library())));
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
