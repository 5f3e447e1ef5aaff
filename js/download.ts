// One file from the network, from any byte on: retries, mirrors, resumption inside the stream, and a look at what it really is.

import { aborted, Qwen3Error } from './errors.js';

/** The head of a response and its body, however it was fetched. */
export interface Fetched {
  status: number;
  header(name: string): string | null;
  /** The next bytes, nothing at the end. */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Gives up the rest of the body. */
  cancel(): void;
}

/** Asks for an address: the thread's own `fetch`, or the caller's. */
export type Fetcher = (url: string, headers: Record<string, string>, signal: AbortSignal) => Promise<Fetched>;

/** What a file must look like at its beginning. */
export type Magic = 'gguf' | 'safetensors' | 'json';

/** Which file, and from where on. */
export interface Request {
  /** Tried in order. */
  urls: readonly string[];
  magic: Magic;
  headers: Readonly<Record<string, string>>;
  /** The first byte wanted. */
  from: number;
  /** Where it is known. */
  sizeBytes?: number | undefined;
  /** The version the bytes before `from` are of. */
  etag?: string | undefined;
  signal: AbortSignal;
  /** Called whenever a server has told more about the file. */
  onHead(head: { sizeBytes?: number; etag?: string }): void;
}

/** Thrown when the file on the server is no longer the one whose beginning is stored. */
export class FileChanged extends Error {
  override readonly name = 'FileChanged';
}

/** Tries of one address without a single byte of progress: few where there never was one, many for a network that was lost. */
const FIRST_TRIES = 3;
const TRIES = 8;
/** Without a byte for this long a connection counts as dead. */
const STALL_MS = 30_000;
const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 15_000;

/** A failure that another try of the same address may mend. */
class Transient extends Error {
  readonly failure: Qwen3Error;
  readonly afterMs: number | undefined;

  constructor(failure: Qwen3Error, afterMs?: number) {
    super(failure.message);
    this.failure = failure;
    this.afterMs = afterMs;
  }
}

/** The bytes of a file from `request.from` on, in order and without gaps. */
export async function* download(fetcher: Fetcher, request: Request): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const state = { position: request.from, sizeBytes: request.sizeBytes, etag: request.etag };
  let mirror = 0;
  let tries = 0;
  for (;;) {
    const url = request.urls[mirror];
    if (url === undefined) throw new Qwen3Error('invalid-argument', 'a file has no address');
    const before = state.position;
    try {
      yield* attempt(fetcher, url, request, state);
      return;
    } catch (error) {
      if (request.signal.aborted) throw aborted(request.signal);
      if (error instanceof FileChanged) throw error;
      const transient = error instanceof Transient ? error : undefined;
      const failure = transient?.failure ?? error;
      if (!(failure instanceof Qwen3Error)) throw failure;
      tries = state.position > before ? 1 : tries + 1;
      if (transient === undefined || tries >= (state.position > 0 ? TRIES : FIRST_TRIES)) {
        mirror += 1;
        tries = 0;
        state.etag = undefined; // each server names versions in its own way
        if (mirror >= request.urls.length) throw failure;
      } else {
        await pause(transient.afterMs ?? backOff(tries), request.signal);
      }
    }
  }
}

interface State {
  position: number;
  sizeBytes: number | undefined;
  etag: string | undefined;
}

async function* attempt(fetcher: Fetcher, url: string, request: Request, state: State): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const stall = new AbortController();
  let timer = setTimeout(() => stall.abort(), STALL_MS);
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stall.abort(), STALL_MS);
  };
  const signal = AbortSignal.any([request.signal, stall.signal]);
  let response: Fetched | undefined;
  try {
    const headers = { ...request.headers, ...(state.position > 0 ? { Range: `bytes=${state.position}-` } : {}) };
    const opened = await transientIfNetwork(url, () => interruptible(fetcher(url, headers, signal), signal));
    response = opened;
    alive();
    // A server that ignores the range sends the file from its beginning: the part we have is passed over.
    let skip = readHead(url, opened, request, state);
    for (;;) {
      const piece = await transientIfNetwork(url, () => interruptible(opened.read(), signal));
      alive();
      if (piece === undefined) break;
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const wanted = skip > 0 ? piece.slice(skip) : piece;
      skip = 0;
      if (state.position === 0) checkMagic(url, opened, request.magic, wanted);
      state.position += wanted.length;
      if (state.sizeBytes !== undefined && state.position > state.sizeBytes) {
        throw failed(url, `sent more than the ${state.sizeBytes} bytes it should have`);
      }
      yield wanted;
    }
    if (state.sizeBytes !== undefined && state.position < state.sizeBytes) {
      throw new Transient(failed(url, `ended after ${state.position} of ${state.sizeBytes} bytes`));
    }
    if (state.position === 0) throw failed(url, 'is empty');
    request.onHead({ sizeBytes: state.position });
  } finally {
    clearTimeout(timer);
    response?.cancel();
  }
}

/** Takes in status and headers; returns how many bytes of the body to pass over. */
function readHead(url: string, response: Fetched, request: Request, state: State): number {
  const { status } = response;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    throw new Transient(failed(url, `answered with status ${status}`, 'the server may be busy: try again later'), retryAfter(response));
  }
  if (status === 416) throw new FileChanged(`${url} is shorter than what is stored of it`);
  if (status !== 200 && status !== 206) {
    const hint = status === 401 || status === 403 ? 'the file may need a login: pass an Authorization header in options.headers'
      : status === 404 || status === 410 ? 'check the address: there is no such file on that server' : '';
    throw failed(url, `answered with status ${status}`, hint);
  }
  const type = response.header('content-type') ?? '';
  if (/^text\/html\b/i.test(type)) {
    throw failed(url, `sent an HTML page (status ${status}) where a model file was expected`, HTML_HINT);
  }
  const partial = status === 206;
  const range = /^bytes (\d+)-\d*\/(\d+|\*)/.exec(response.header('content-range') ?? '');
  if (partial && range !== null && Number(range[1]) !== state.position) {
    throw new Transient(failed(url, `sent bytes from ${range[1]} where ${state.position} was asked for`));
  }
  const etag = response.header('etag') ?? undefined;
  if (state.position > 0 && etag !== undefined && state.etag !== undefined && etag !== state.etag) {
    throw new FileChanged(`${url} has changed on the server`);
  }
  // The length of an encoded body says nothing about the file's.
  const length = response.header('content-encoding') === null ? Number(response.header('content-length') ?? Number.NaN) : Number.NaN;
  const told = range?.[2] !== undefined && range[2] !== '*' ? Number(range[2]) : partial ? length + state.position : length;
  if (Number.isSafeInteger(told) && told > 0) {
    if (state.sizeBytes !== undefined && told !== state.sizeBytes) {
      if (request.sizeBytes === undefined || state.position > 0) throw new FileChanged(`${url} has changed its size`);
      throw failed(url, `holds ${told} bytes where ${request.sizeBytes} were expected`, 'the server has another version of the file');
    }
    state.sizeBytes = told;
  }
  state.etag = etag ?? state.etag;
  request.onHead({
    ...(state.sizeBytes === undefined ? {} : { sizeBytes: state.sizeBytes }),
    ...(state.etag === undefined ? {} : { etag: state.etag }),
  });
  return partial ? 0 : state.position;
}

const HTML_HINT = 'a sign-in page, an error page or the page of the file instead of the file itself: open the address in a tab to see';

/** Refuses what is plainly no model before a byte of it is stored. */
function checkMagic(url: string, response: Fetched, magic: Magic, first: Uint8Array): void {
  const text = String.fromCharCode(...first.subarray(0, 64));
  const type = response.header('content-type') ?? 'no content type';
  const good = magic === 'gguf' ? text.startsWith('GGUF'.slice(0, first.length))
    : magic === 'safetensors' ? first.length < 9 || text[8] === '{'
      : /^\s*\{/.test(text);
  if (good) return;
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    throw failed(url, `sent an HTML page (status ${response.status}) where a model file was expected`, HTML_HINT);
  }
  if (text.startsWith('version https://git-lfs')) {
    throw failed(url, 'sent a Git LFS pointer instead of the file', 'use the address that resolves the pointer (/resolve/ instead of /raw/)');
  }
  const wanted = magic === 'gguf' ? 'a GGUF file' : magic === 'safetensors' ? 'a safetensors file' : 'a JSON object';
  throw failed(url, `sent something else than ${wanted} (status ${response.status}, ${type})`, 'check that the address is that of the file itself');
}

function failed(url: string, what: string, hint = ''): Qwen3Error {
  return new Qwen3Error('download-failed', `${url} ${what}`, { hint });
}

async function transientIfNetwork<T>(url: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new Transient(new Qwen3Error('download-failed', `${url} cannot be reached or the connection broke`, {
      cause, hint: 'check the network, and that the server allows requests from this page (CORS, and connect-src of its CSP)',
    }));
  }
}

/** The promise, or a rejection as soon as the signal fires: a read of a dead connection may never settle. */
function interruptible<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(new DOMException('no bytes came for a long time', 'TimeoutError'));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function retryAfter(response: Fetched): number | undefined {
  const value = response.header('retry-after');
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, Math.min(ms, 120_000)) : undefined;
}

/** Exponential with jitter, so that many clients of a server that comes back do not all come at once. */
function backOff(tries: number): number {
  const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (tries - 1));
  return longest * (0.5 + Math.random() / 2);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(aborted(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
  });
}
