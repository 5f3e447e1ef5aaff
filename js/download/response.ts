// What a server answers, however it was asked, and what is told about a file by the head of an answer.

import { Qwen3Error } from '../errors.js';
import { Transient } from './retry.js';

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

/** The thread's own `fetch`. */
export const ownFetch: Fetcher = async (url, headers, signal) => {
  const response = await fetch(url, { headers, signal });
  const reader = response.body?.getReader();
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    read: async () => (await reader?.read())?.value,
    cancel: () => void reader?.cancel().catch(() => undefined),
  };
};

/** By what a server tells one version of a file from another; each server in its own way. */
export interface FileVersion {
  url: string;
  etag?: string;
  lastModified?: string;
}

/** Thrown when the file on the server is no longer the one whose beginning is stored. */
export class FileChanged extends Error {
  override readonly name = 'FileChanged';
}

/** The part of a file an answer holds. */
export interface Part {
  /** The server keeps to ranges. Without, the body is the whole file. */
  partial: boolean;
  /** Of the whole file, where it is told. */
  sizeBytes: number | undefined;
  version: FileVersion;
}

/** Takes in status and headers of an answer to a request for the bytes from `from` to `to`; `to` is absent for the rest of the file. */
export function readHead(url: string, response: Fetched, from: number, to: number | undefined): Part {
  const { status } = response;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    throw new Transient(failed(url, `answered with status ${status}`, 'the server may be busy: try again later'), retryAfter(response));
  }
  if (status !== 200 && status !== 206) {
    const hint = status === 401 || status === 403 ? 'the file may need a login: pass an Authorization header in options.headers'
      : status === 404 || status === 410 ? 'check the address: there is no such file on that server' : '';
    throw failed(url, `answered with status ${status}`, hint);
  }
  if (/^text\/html\b/i.test(response.header('content-type') ?? '')) throw htmlPage(url, status);
  const version: FileVersion = { url };
  const [etag, lastModified] = [response.header('etag'), response.header('last-modified')];
  if (etag !== null) version.etag = etag;
  if (lastModified !== null) version.lastModified = lastModified;
  // The length of an encoded body says nothing about the file's.
  const length = response.header('content-encoding') === null ? wholeNumber(response.header('content-length')) : undefined;
  if (status === 200) return { partial: false, sizeBytes: length, version };
  const range = /^bytes (\d+)-\d*\/(\d+|\*)/.exec(response.header('content-range') ?? '');
  if (range !== null && Number(range[1]) !== from) {
    throw new Transient(failed(url, `sent bytes from ${range[1]} where ${from} was asked for`));
  }
  // Other hosts may keep Content-Range from the page: then a body that ends early, or was asked for to its end, tells the size.
  const ends = length !== undefined && (to === undefined || length < to - from) ? from + length : undefined;
  return { partial: true, sizeBytes: wholeNumber(range?.[2]) ?? ends, version };
}

/** Whether two answers are of different versions of a file; what a server does not tell, or another server tells, says nothing. */
export function differs(before: FileVersion | undefined, now: FileVersion): boolean {
  if (before === undefined || before.url !== now.url) return false;
  if (before.etag !== undefined && now.etag !== undefined) return before.etag !== now.etag;
  return before.lastModified !== undefined && now.lastModified !== undefined && before.lastModified !== now.lastModified;
}

/**
 * Asks the server for the range only if the file is still that version. Nothing for other hosts, which would have to allow
 * the header first, and for weak marks, which the header may not carry: there the answer's own marks are compared.
 */
export function ifRange(version: FileVersion | undefined, url: string): Record<string, string> {
  if (version?.url !== url || version.etag === undefined || version.etag.startsWith('W/')) return {};
  return new URL(url).origin === globalThis.location?.origin ? { 'If-Range': version.etag } : {};
}

/** A failure of a download, by its address. */
export function failed(url: string, what: string, hint = ''): Qwen3Error {
  return new Qwen3Error('download-failed', `${url} ${what}`, { hint });
}

/** What came is a page for people. */
export function htmlPage(url: string, status: number): Qwen3Error {
  return failed(url, `sent an HTML page (status ${status}) where a model file was expected`,
    'a sign-in page, an error page or the page of the file instead of the file itself: open the address in a tab to see');
}

function retryAfter(response: Fetched): number | undefined {
  const value = response.header('retry-after');
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, Math.min(ms, 120_000)) : undefined;
}

function wholeNumber(text: string | null | undefined): number | undefined {
  return typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : undefined;
}
