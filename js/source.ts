// From what a caller may name as a model to plain data: catalogue name, address, folder, bytes, or a list of mirrors.

import { filesOf, find, fullName, models } from './catalogue.js';
import { Qwen3Error } from './errors.js';
import { show } from './options.js';
import type { PlainSource, RemoteFile } from './protocol.js';
import type { ModelSource, UrlSource } from './types.js';

const SPLIT = /-(\d{5})-of-(\d{5})\.gguf$/i;

/** The source as data. `holdStream` keeps a stream on the page's side and returns its number. */
export function plainSource(source: ModelSource, holdStream: (stream: ReadableStream<Uint8Array>) => number): PlainSource {
  if (typeof source === 'string' || source instanceof URL) return named(String(source));
  if (source instanceof Blob) return { kind: 'blob', name: source instanceof File ? source.name : 'model.gguf', blob: source };
  if (source instanceof ArrayBuffer) return { kind: 'blob', name: 'model.gguf', blob: new Blob([source]) };
  if (source instanceof ReadableStream) return { kind: 'stream', name: 'model.gguf', body: holdStream(source) };
  if (typeof source === 'object' && source !== null && 'urls' in source) return mirrored(source);
  throw new Qwen3Error('invalid-argument', `expected a model name, a URL, a File, Blob, ArrayBuffer, ReadableStream or { urls }, got ${show(source)}`);
}

function named(text: string): PlainSource {
  const entry = find(text);
  if (entry !== undefined) return { kind: 'files', name: fullName(entry), files: filesOf(entry), embedded: entry.embedded === true };
  if (!text.includes('/') && !/^[a-z]+:|\.gguf$/i.test(text)) {
    throw new Qwen3Error('invalid-argument', `there is no model ${show(text)} in the catalogue`, {
      hint: `the names are ${models.map(fullName).join(', ')}; or pass the URL of a .gguf file or of a folder`,
    });
  }
  const url = absolute(text);
  // An object URL or data URL names bytes, not a place that could be a folder.
  if (/\.gguf$/i.test(url.pathname) || url.protocol === 'blob:' || url.protocol === 'data:') {
    return { kind: 'files', name: url.href, files: split(url).map((part) => ({ urls: [part] })) };
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return { kind: 'folder', name: url.href, url: url.href };
}

const MIRROR_FIELDS: (keyof UrlSource)[] = ['urls', 'sha256', 'sizeBytes', 'tokenizerUrl'];

function mirrored(source: UrlSource): PlainSource {
  const unknown = Object.keys(source).find((key) => !MIRROR_FIELDS.some((known) => known === key));
  if (unknown !== undefined) {
    throw new Qwen3Error('invalid-argument', `a source has no field '${unknown}'`, { hint: `its fields are ${MIRROR_FIELDS.join(', ')}` });
  }
  const { urls, sha256, sizeBytes, tokenizerUrl } = source;
  if (!Array.isArray(urls) || urls.length === 0 || !urls.every((url) => typeof url === 'string')) {
    throw new Qwen3Error('invalid-argument', `urls must be at least one URL, got ${show(urls)}`);
  }
  if (sha256 !== undefined && !(typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256))) {
    throw new Qwen3Error('invalid-argument', `sha256 must be 64 hexadecimal digits, got ${show(sha256)}`);
  }
  if (sizeBytes !== undefined && !(Number.isSafeInteger(sizeBytes) && sizeBytes > 0)) {
    throw new Qwen3Error('invalid-argument', `sizeBytes must be a positive integer, got ${show(sizeBytes)}`);
  }
  const mirrors = urls.map(absolute);
  const [first] = mirrors;
  if (first === undefined) throw new Qwen3Error('invalid-argument', 'urls is empty');
  const parts = mirrors.map(split);
  const files: RemoteFile[] = split(first).map((_, index) => ({ urls: parts.flatMap((mirror) => mirror[index] ?? []) }));
  const [only] = files;
  if (files.length > 1 && (sha256 !== undefined || sizeBytes !== undefined)) {
    throw new Qwen3Error('invalid-argument', 'sha256 and sizeBytes are those of a single file, and this source is split', {
      hint: 'leave them out for a split model',
    });
  }
  if (only !== undefined) {
    if (sha256 !== undefined) only.sha256 = sha256.toLowerCase();
    if (sizeBytes !== undefined) only.sizeBytes = sizeBytes;
  }
  const plain: PlainSource = { kind: 'files', name: first.href, files };
  if (tokenizerUrl !== undefined) plain.tokenizer = { urls: [absolute(tokenizerUrl).href] };
  return plain;
}

/** The addresses of all parts of a split GGUF, or the one address. */
function split(url: URL): string[] {
  const match = SPLIT.exec(url.pathname);
  if (match === null) return [url.href];
  const [suffix = '', part, count = ''] = match;
  if (part !== '00001') {
    throw new Qwen3Error('invalid-argument', `expected the first part of a split model, got part ${part} of ${count}`, {
      hint: `pass the address that ends with -00001-of-${count}.gguf; the others follow by themselves`,
    });
  }
  const stem = url.pathname.slice(0, -suffix.length);
  return Array.from({ length: Number(count) }, (_, index) => {
    const address = new URL(url);
    address.pathname = `${stem}-${String(index + 1).padStart(5, '0')}-of-${count}.gguf`;
    return address.href;
  });
}

function absolute(text: string): URL {
  try {
    return new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (error) {
    throw new Qwen3Error('invalid-argument', `not a URL: ${show(text)}`, { cause: error });
  }
}
