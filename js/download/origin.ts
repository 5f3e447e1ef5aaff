// Where a file comes from: spans of its bytes from one of several mirrors, tried again, and gone on with at the byte where they broke off.

import { aborted, Qwen3Error } from '../errors.js';
import { checkMagic, type Magic } from './magic.js';
import { differs, failed, FileChanged, ifRange, readHead, type Fetched, type Fetcher, type FileVersion, type Part } from './response.js';
import { backOffMs, pause, Transient } from './retry.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** Which file, and what is known of it. */
export interface FileRequest {
  /** Tried in order. */
  urls: readonly string[];
  magic: Magic;
  headers: Readonly<Record<string, string>>;
  /** Where it is known. */
  sizeBytes?: number | undefined;
  /** The source says how large the file must be: a server with another size has another file. */
  sizePinned?: boolean;
  /** The version of what is already there. */
  version?: FileVersion | undefined;
  /** Without a byte for this long a connection counts as dead. Default 30 000. */
  stallTimeoutMs?: number | undefined;
  /** Called whenever a server has told more about the file. */
  onHead(head: { sizeBytes?: number; version?: FileVersion }): void;
}

/** Tries of one address without a single byte of progress: few where there never was one, many for a network that was lost. */
const FIRST_TRIES = 3;
const TRIES = 10;
const STALL_TIMEOUT_MS = 30_000;

/** Thrown in the middle of a file when a server sends all of it where a part was asked for: parts cannot be had side by side. */
export class RangesIgnored extends Error {
  override readonly name = 'RangesIgnored';
}

/** One file on its mirrors. Spans of it may be read side by side; they share what one of them learns. */
export class Origin {
  readonly #fetcher: Fetcher;
  readonly #request: FileRequest;
  #mirror = 0;
  #version: FileVersion | undefined;
  /** No request before, on the clock of `Date.now`: a server has asked for patience. */
  #restUntil = 0;
  #reached: boolean;
  /** Of the whole file, once it is known. */
  sizeBytes: number | undefined;
  /** Whether servers send parts; absent before the first answer. */
  ranges: boolean | undefined;

  constructor(fetcher: Fetcher, request: FileRequest) {
    this.#fetcher = fetcher;
    this.#request = request;
    this.#version = request.version;
    this.#reached = request.version !== undefined;
    this.sizeBytes = request.sizeBytes;
  }

  /**
   * The bytes from `from` on, in order and without gaps, up to `to`. A server without ranges has no such end: there the bytes
   * go on to the end of the file.
   */
  async *span(from: number, to: number | undefined, signal: AbortSignal): AsyncGenerator<Bytes, void> {
    const place = { position: from };
    for (let tries = 0; ; ) {
      const mirror = this.#mirror;
      const url = this.#request.urls[mirror];
      if (url === undefined) throw new Qwen3Error('invalid-argument', 'a file has no address');
      const before = place.position;
      try {
        await this.#rest(signal);
        yield* this.#attempt(url, place, this.ranges === false ? undefined : to, signal);
        return;
      } catch (error) {
        if (signal.aborted) throw aborted(signal);
        const failure = error instanceof Transient ? error.failure : error;
        if (!(failure instanceof Qwen3Error)) throw failure;
        tries = place.position > before ? 1 : tries + 1;
        if (error instanceof Transient && tries < (this.#reached ? TRIES : FIRST_TRIES)) {
          if (error.afterMs !== undefined) this.#restUntil = Math.max(this.#restUntil, Date.now() + error.afterMs);
          else await pause(backOffMs(tries), signal);
        } else {
          if (mirror + 1 >= this.#request.urls.length) throw failure;
          this.#mirror = Math.max(this.#mirror, mirror + 1);
          tries = 0;
        }
      }
    }
  }

  async #rest(signal: AbortSignal): Promise<void> {
    // Not all spans at the same moment either.
    for (let ms; (ms = this.#restUntil - Date.now()) > 0; ) await pause(ms + Math.random() * 100, signal);
  }

  async *#attempt(url: string, place: { position: number }, to: number | undefined, signal: AbortSignal): AsyncGenerator<Bytes, void> {
    const from = place.position;
    const watch = new Watch(url, signal, this.#request.stallTimeoutMs ?? STALL_TIMEOUT_MS);
    let response: Fetched | undefined;
    try {
      const opened = await watch.over(this.#fetcher(url, this.#headers(url, from, to), watch.signal));
      response = opened;
      if (opened.status === 416 && this.sizeBytes === undefined && from > 0) return this.#learn({ partial: true, sizeBytes: from, version: { url } });
      if (opened.status === 416 && from === 0) throw failed(url, 'is empty');
      if (opened.status === 416) throw new FileChanged(`${url} is shorter than what is stored of it`);
      const part = readHead(url, opened, from, to);
      // The beginning of a file is looked at before anything of the answer is believed.
      let first: Bytes | undefined;
      if (!part.partial || from === 0) {
        first = await watch.over(opened.read());
        if (first !== undefined) checkMagic(url, opened, this.#request.magic, first);
      }
      this.#take(url, part, from);
      this.#learn(part);
      if (!part.partial) {
        this.ranges = false;
        if (from > 0 && to !== undefined) throw new RangesIgnored(`${url} does not send parts of the file`);
      } else {
        this.ranges ??= this.sizeBytes !== undefined;
      }
      const end = part.partial ? Math.min(to ?? Number.MAX_SAFE_INTEGER, this.sizeBytes ?? Number.MAX_SAFE_INTEGER) : this.sizeBytes ?? Number.MAX_SAFE_INTEGER;
      // A server that sends the whole file sends what we have again: it is passed over.
      let skip = part.partial ? 0 : from;
      for (let piece = first; (piece ??= await watch.over(opened.read())) !== undefined; piece = undefined) {
        const wanted = skip > 0 ? piece.subarray(Math.min(skip, piece.length)) : piece;
        skip -= piece.length - wanted.length;
        if (wanted.length === 0) continue;
        if (place.position + wanted.length > end) throw failed(url, `sent more than the ${end - from} bytes it should have`);
        place.position += wanted.length;
        this.#reached = true;
        yield wanted;
      }
      if (place.position < end && end < Number.MAX_SAFE_INTEGER) {
        throw new Transient(failed(url, `ended after ${place.position} of ${end} bytes`));
      }
      if (place.position === 0) throw failed(url, 'is empty');
      if (to === undefined || !part.partial) this.#learn({ ...part, sizeBytes: place.position });
    } finally {
      watch.end();
      response?.cancel();
    }
  }

  #headers(url: string, from: number, to: number | undefined): Record<string, string> {
    const { headers } = this.#request;
    if (from === 0 && to === undefined) return { ...headers };
    const range = `bytes=${from}-${to === undefined ? '' : to - 1}`;
    return { ...headers, Range: range, ...(from > 0 ? ifRange(this.#version, url) : {}) };
  }

  /** Holds an answer against what is known of the file. */
  #take(url: string, { sizeBytes, version }: Part, from: number): void {
    const { sizePinned } = this.#request;
    if (sizeBytes !== undefined && this.sizeBytes !== undefined && sizeBytes !== this.sizeBytes) {
      if (sizePinned !== true) throw new FileChanged(`${url} has changed its size from ${this.sizeBytes} to ${sizeBytes} bytes`);
      throw failed(url, `holds ${sizeBytes} bytes where ${this.sizeBytes} were expected`, 'the server has another version of the file');
    }
    if (from > 0 && differs(this.#version, version)) throw new FileChanged(`${url} has changed on the server`);
  }

  #learn({ sizeBytes, version }: Part): void {
    this.sizeBytes ??= sizeBytes;
    if (this.#version?.url !== version.url) this.#version = version;
    this.#request.onHead({ ...(this.sizeBytes === undefined ? {} : { sizeBytes: this.sizeBytes }), version: this.#version });
  }
}

/** Watches over one connection: what waits on it ends when the caller gives up, or when no byte comes for too long. */
class Watch {
  readonly #url: string;
  readonly #timeoutMs: number;
  readonly #stall = new AbortController();
  readonly signal: AbortSignal;

  constructor(url: string, signal: AbortSignal, timeoutMs: number) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
    this.signal = AbortSignal.any([signal, this.#stall.signal]);
  }

  /** The work's result; whatever goes wrong with a connection may go right with the next. A dead read may itself never settle. */
  async over<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    const timer = setTimeout(() => this.#stall.abort(), this.#timeoutMs);
    let stop: (() => void) | undefined;
    try {
      return await Promise.race([work, new Promise<never>((_, reject) => {
        stop = () => reject(new DOMException(`no bytes came for ${this.#timeoutMs} ms`, 'TimeoutError'));
        signal.addEventListener('abort', stop);
        if (signal.aborted) stop();
      })]);
    } catch (cause) {
      throw new Transient(new Qwen3Error('download-failed', `${this.#url} cannot be reached or the connection broke`, {
        cause, hint: 'check the network, and that the server allows requests from this page (CORS, and connect-src of its CSP)',
      }));
    } finally {
      clearTimeout(timer);
      if (stop !== undefined) signal.removeEventListener('abort', stop);
    }
  }

  /** Nothing waits any more. */
  end(): void {
    this.#stall.abort();
  }
}
