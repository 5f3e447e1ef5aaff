// A file server that fails on purpose: cut connections, busy servers, stalls, wrong bytes, sign-in pages, and servers without ranges.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rangeOf } from './server.mjs';

/** A prime, so that no two chunks of a file are alike. */
const PERIOD = 1_000_003;
const MAGIC = Buffer.from('GGUF');
let pattern;

/** A file of any size that is never held whole: it begins as a GGUF does, and the rest is noise. */
export function noise(size, seed = 0) {
  pattern ??= Buffer.from(createHash('shake256', { outputLength: PERIOD }).update('noise').digest());
  const read = (from, to) => {
    const bytes = Buffer.allocUnsafe(to - from);
    for (let at = from; at < to; ) {
      const phase = (at + seed) % PERIOD;
      at += pattern.copy(bytes, at - from, phase, Math.min(PERIOD, phase + to - at));
    }
    if (from < MAGIC.length) MAGIC.copy(bytes, 0, from);
    return bytes;
  };
  let sha256;
  return {
    size,
    read,
    get sha256() {
      if (sha256 === undefined) {
        const hash = createHash('sha256');
        for (let at = 0; at < size; at += PERIOD) hash.update(read(at, Math.min(at + PERIOD, size)));
        sha256 = hash.digest('hex');
      }
      return sha256;
    },
  };
}

/** Bytes in memory as a file. */
export function fileOf(bytes) {
  const body = Buffer.from(bytes);
  return { size: body.length, read: (from, to) => body.subarray(from, to), sha256: createHash('sha256').update(body).digest('hex') };
}

/**
 * A route that serves a file in parts. For each request `faults({ from, to, count, ranged, response })` says what goes wrong, nothing if all goes well:
 *
 * - `status`, `retryAfter`: answers with that status and no body
 * - `cut: n`, `stall: n`: after n bytes of the body the connection ends, or nothing more comes
 * - `slow: n`: n milliseconds between 64 KiB
 * - `wait: promise`: no answer before it has settled
 * - `truncate: n`: says and sends n bytes too few
 * - `shift: n`: says and sends a range that begins n bytes later
 * - `flip: n`: one bit of the file's byte n is wrong
 * - `portal`: a sign-in page instead, with that content type
 * - `ignoreRange`: the whole file whatever was asked for
 * - `plain`: tells no size and no range, as other hosts may
 * - `file`, `etag`: another version of the file
 * - `lastModified`: a server that tells versions apart by this date and not by an `ETag`
 * - `redirect: path`: the file is there
 * - `restart`: the server ends with all its connections, and is back after a moment
 *
 * `served` counts what the clients were sent: requests, bytes, and how often each was asked for.
 */
export function faulty(file, faults = () => undefined) {
  const served = { requests: [], bytes: 0 };
  const route = async (request, response) => {
    const range = rangeOf(request, file.size);
    const asked = { ...range ?? { from: 0, to: file.size }, ranged: range !== undefined, count: served.requests.length };
    served.requests.push(asked);
    const fault = faults({ ...asked, response }) ?? {};
    await fault.wait;
    if (fault.redirect !== undefined) return void response.writeHead(302, { Location: fault.redirect }).end();
    if (fault.portal !== undefined) return void response.writeHead(200, { 'Content-Type': fault.portal }).end('<!doctype html><title>Sign in</title><p>Welcome to our network');
    if (fault.restart === true) return restart(request.socket.server);
    if (fault.status !== undefined) {
      return void response.writeHead(fault.status, fault.retryAfter === undefined ? {} : { 'Retry-After': fault.retryAfter }).end('busy');
    }
    const source = fault.file ?? file;
    const mark = fault.lastModified === undefined ? { ETag: fault.etag ?? '"v1"' } : { 'Last-Modified': fault.lastModified };
    const headers = { 'Content-Type': 'application/octet-stream', ...mark };
    const changed = request.headers['if-range'] !== undefined && request.headers['if-range'] !== headers.ETag;
    const partial = asked.ranged && fault.ignoreRange !== true && !changed;
    if (partial && asked.from >= source.size) return void response.writeHead(416, { 'Content-Range': `bytes */${source.size}` }).end();
    const from = partial ? asked.from + (fault.shift ?? 0) : 0;
    const to = Math.min(partial ? asked.to : source.size, source.size) - (fault.truncate ?? 0);
    if (fault.plain !== true) {
      headers['Content-Length'] = to - from;
      if (partial) headers['Content-Range'] = `bytes ${from}-${to - 1}/${source.size}`;
    }
    response.writeHead(partial ? 206 : 200, headers);
    const stop = Math.min(to, from + (fault.cut ?? fault.stall ?? Infinity));
    const closed = once(response, 'close');
    for (let at = from; at < stop && !response.destroyed; ) {
      const next = Math.min(at + 65_536, stop);
      const bytes = Buffer.from(source.read(at, next));
      if (fault.flip >= at && fault.flip < next) bytes[fault.flip - at] ^= 1;
      served.bytes += bytes.length;
      at = next;
      if (fault.slow !== undefined) await new Promise((resolve) => setTimeout(resolve, fault.slow));
      if (!response.write(bytes)) await Promise.race([once(response, 'drain'), closed]);
    }
    // After the last byte nothing is left to fail: the browser sends its next request, for whatever it may be, on the same connection.
    if (stop === to) response.end();
    else if (fault.cut !== undefined) setTimeout(() => response.destroy(), 20);
  };
  return Object.assign(route, { served });
}

async function restart(server) {
  const { port, address } = server.address();
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
  setTimeout(() => server.listen(port, address), 300);
}

/** Random numbers from 0 to 1 that are the same for the same seed (mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
