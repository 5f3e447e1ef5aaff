// A static server for the tests: right MIME types, byte ranges, a strict policy, a count of requests, and routes of a test's own.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json', '.wasm': 'application/wasm', '.gguf': 'application/octet-stream', '.safetensors': 'application/octet-stream',
};

/** What the package must run under: no eval, no inline script, no blob: worker. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'";

const BLANK = '<!doctype html><html lang="en"><title>test</title><link rel="icon" href="data:,"><body></body></html>';

/**
 * Serves folders under path prefixes.
 * `mounts` maps a prefix that ends with a slash to a folder; a test puts handlers `(request, response) => void` into `routes`.
 * `isolated` pages may share memory with their threads.
 */
export async function serve(mounts, { isolated = false } = {}) {
  const routes = new Map([['/blank.html', (_, response) => response.writeHead(200, { 'Content-Type': TYPES['.html'] }).end(BLANK)]]);
  const requests = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    requests.push(pathname);
    response.setHeader('Content-Security-Policy', POLICY);
    response.setHeader('Cache-Control', 'no-store');
    if (isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    const route = routes.get(pathname);
    if (route !== undefined) return void route(request, response);
    const prefix = Object.keys(mounts).filter((p) => pathname.startsWith(p)).sort((a, b) => b.length - a.length)[0];
    if (prefix === undefined) return void response.writeHead(404).end('not found');
    const rest = decodeURIComponent(pathname.slice(prefix.length));
    sendFile(request, response, join(mounts[prefix], normalize(`/${rest === '' || rest.endsWith('/') ? `${rest}index.html` : rest}`)));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${server.address().port}`,
    routes,
    /** The paths asked for so far, in order. */
    requests,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}

/** Answers with a file, or with the part of it that was asked for. */
export async function sendFile(request, response, path) {
  const size = await stat(path).then((info) => (info.isFile() ? info.size : undefined), () => undefined);
  if (size === undefined) return void response.writeHead(404).end('not found');
  const headers = { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream', 'Accept-Ranges': 'bytes' };
  const range = rangeOf(request, size);
  const { from, to } = range ?? { from: 0, to: size };
  if (range !== undefined && from >= size) return void response.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
  if (range !== undefined) headers['Content-Range'] = `bytes ${from}-${to - 1}/${size}`;
  response.writeHead(range === undefined ? 200 : 206, { ...headers, 'Content-Length': to - from });
  if (request.method === 'HEAD' || from === to) return void response.end();
  // One who goes away in the middle is no failure.
  pipeline(createReadStream(path, { start: from, end: to - 1 }), response, () => undefined);
}

/** The bytes of a file of that size that are asked for, `to` excluded; nothing if the whole file is. */
export function rangeOf(request, size) {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  return match === null ? undefined : { from: Number(match[1]), to: match[2] === '' ? size : Math.min(Number(match[2]) + 1, size) };
}
