// The bytes of a model in the order the engine wants them: from the store as far as it goes, then from the network.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { download, type Fetcher, type Magic } from './download.js';
import { aborted, Qwen3Error } from './errors.js';
import type { Meter } from './progress.js';
import type { PlainSource, RemoteFile } from './protocol.js';
import { CHUNK_BYTES, type Manifest, type Store, type StoredFile } from './store/store.js';

type Bytes = Uint8Array<ArrayBuffer>;
type Hasher = ReturnType<typeof sha256.create>;

/** A model's bytes, opened: what the engine needs beforehand, and its weight files in order. */
export interface Weights {
  format: 'gguf' | 'safetensors';
  configJson?: string;
  tokenizerJson?: Bytes;
  files: { chunks(): AsyncGenerator<Bytes, void> }[];
  /** Called when every byte was taken and found good. */
  finish(): Promise<void>;
}

/** What bytes are fetched with, and where they are kept. */
export interface Context {
  fetcher: Fetcher;
  headers: Record<string, string>;
  /** Nothing is kept without one. */
  store: Store | undefined;
  meter: Meter;
  signal: AbortSignal;
  /** A stream the page holds, by its number. */
  readBody(body: number): Promise<Bytes | undefined>;
}

/** Opens a source. */
export async function openWeights(source: PlainSource, context: Context): Promise<Weights> {
  switch (source.kind) {
    case 'blob':
      return local(blobChunks(source.blob, source.name, context));
    case 'stream':
      return local(streamChunks(source.body, source.name, context));
    case 'files':
    case 'folder':
      return remote(source, context);
  }
}

function local(chunks: AsyncGenerator<Bytes, void>): Weights {
  return { format: 'gguf', files: [{ chunks: () => chunks }], finish: () => Promise.resolve() };
}

async function* blobChunks(blob: Blob, name: string, { meter, signal }: Context): AsyncGenerator<Bytes, void> {
  for (let position = 0; position < blob.size; position += CHUNK_BYTES) {
    if (signal.aborted) throw aborted(signal);
    const bytes = new Uint8Array(await blob.slice(position, position + CHUNK_BYTES).arrayBuffer());
    meter.update('upload', name, position + bytes.length, blob.size, true);
    yield bytes;
  }
}

async function* streamChunks(body: number, name: string, { meter, signal, readBody }: Context): AsyncGenerator<Bytes, void> {
  for (let position = 0; ; ) {
    if (signal.aborted) throw aborted(signal);
    const bytes = await readBody(body);
    if (bytes === undefined) return;
    position += bytes.length;
    meter.update('upload', name, position, undefined, false);
    yield bytes;
  }
}

async function remote(source: Extract<PlainSource, { kind: 'files' | 'folder' }>, context: Context): Promise<Weights> {
  const stored = await context.store?.manifest(source.name);
  const wanted = source.kind === 'files' ? filesOf(source) : undefined;
  let manifest = stored;
  if (manifest === undefined || (wanted !== undefined && !sameFiles(manifest.files, wanted))) {
    if (stored !== undefined) await context.store?.delete(source.name);
    const files = wanted ?? await filesOfFolder(source.kind === 'folder' ? source.url : '', context);
    manifest = { version: 1, name: source.name, files, verified: false, lastUsed: Date.now() };
  }
  const model = new RemoteModel(manifest, wanted, context);
  const config = await model.whole('config');
  const tokenizer = await model.whole('tokenizer');
  return {
    format: source.kind === 'folder' ? 'safetensors' : 'gguf',
    ...(config === undefined ? {} : { configJson: new TextDecoder().decode(config) }),
    ...(tokenizer === undefined ? {} : { tokenizerJson: tokenizer }),
    files: model.weightFiles.map((index) => ({ chunks: () => model.chunks(index) })),
    finish: () => model.finish(),
  };
}

function filesOf(source: Extract<PlainSource, { kind: 'files' }>): StoredFile[] {
  const files = source.files.map((file) => toStore('weights', file));
  return source.tokenizer === undefined ? files : [toStore('tokenizer', source.tokenizer), ...files];
}

/** `config.json`, `tokenizer.json`, and the shards of the index or the one `model.safetensors`. */
async function filesOfFolder(url: string, context: Context): Promise<StoredFile[]> {
  const at = (name: string): RemoteFile => ({ urls: [new URL(name, url).href] });
  let shards = ['model.safetensors'];
  try {
    const { fetcher, headers, signal } = context;
    const request = { urls: at('model.safetensors.index.json').urls, magic: 'json' as const, headers, from: 0, signal, onHead: () => undefined };
    shards = shardsOf(JSON.parse(new TextDecoder().decode(await collect(download(fetcher, request)))));
  } catch (error) {
    // Without an index the folder holds one file, and what is wrong with that one will be told.
    if (!(error instanceof Qwen3Error && error.code === 'download-failed')) throw error;
  }
  return [
    toStore('config', at('config.json')),
    toStore('tokenizer', at('tokenizer.json')),
    ...shards.map((name) => toStore('weights', at(name))),
  ];
}

function shardsOf(index: unknown): string[] {
  if (typeof index === 'object' && index !== null && 'weight_map' in index && typeof index.weight_map === 'object' && index.weight_map !== null) {
    const names = Object.values(index.weight_map).filter((name): name is string => typeof name === 'string');
    if (names.length > 0) return [...new Set(names)].sort();
  }
  throw new Qwen3Error('malformed-file', 'model.safetensors.index.json has no weight_map that names files');
}

function toStore(role: StoredFile['role'], file: RemoteFile): StoredFile {
  return { role, ...file, storedBytes: 0, complete: false };
}

/** Whether what is stored is what is wanted now: the same files, and no other hash than the pinned one. */
function sameFiles(stored: StoredFile[], wanted: StoredFile[]): boolean {
  return stored.length === wanted.length && wanted.every((file, index) => {
    const other = stored[index];
    return other !== undefined && other.role === file.role && file.urls.some((url) => other.urls.includes(url))
      && (file.sha256 === undefined || other.sha256 === undefined || file.sha256 === other.sha256);
  });
}

async function collect(chunks: AsyncIterable<Bytes>): Promise<Bytes> {
  const parts: Bytes[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A model of one or more files on servers, kept in the store as it arrives. */
class RemoteModel {
  readonly #manifest: Manifest;
  readonly #context: Context;
  /** The hashes known before any byte came, by file. */
  readonly #pinned: (string | undefined)[];
  /** The files were all there from the start, and had been checked when they came. */
  readonly #checked: boolean;
  #loadedBytes = 0;

  constructor(manifest: Manifest, wanted: StoredFile[] | undefined, context: Context) {
    this.#manifest = manifest;
    this.#context = context;
    this.#checked = manifest.files.every((file) => file.complete);
    this.#pinned = manifest.files.map((file, index) => wanted?.[index]?.sha256 ?? file.sha256);
  }

  /** The places of the weight files. */
  get weightFiles(): number[] {
    return [...this.#manifest.files.keys()].filter((index) => this.#manifest.files[index]?.role === 'weights');
  }

  /** All bytes of the file with that role, nothing if the model has none. */
  async whole(role: StoredFile['role']): Promise<Bytes | undefined> {
    const index = this.#manifest.files.findIndex((file) => file.role === role);
    return index < 0 ? undefined : collect(this.chunks(index));
  }

  /** The bytes of a file, chunk by chunk, checked against its hash at the end. */
  async *chunks(index: number): AsyncGenerator<Bytes, void> {
    const file = this.#manifest.files[index];
    if (file === undefined) throw new Qwen3Error('internal', `no file ${index}`);
    const hasher = this.#checked ? undefined : sha256.create();
    for await (const bytes of this.#readStored(file, index)) {
      hasher?.update(bytes);
      this.#count('upload', file, bytes, true);
      yield bytes;
    }
    if (!file.complete) {
      for await (const bytes of this.#fetchRest(file, index)) {
        hasher?.update(bytes);
        yield bytes;
      }
    }
    if (hasher !== undefined) this.#verify(file, index, hasher);
  }

  /** Marks the model as used, and as verified where all its hashes were known. */
  async finish(): Promise<void> {
    if (!this.#checked) this.#manifest.verified = this.weightFiles.every((index) => this.#pinned[index] !== undefined);
    this.#manifest.lastUsed = Date.now();
    await this.#context.store?.write(this.#manifest);
  }

  async *#readStored(file: StoredFile, index: number): AsyncGenerator<Bytes, void> {
    const { store, signal } = this.#context;
    if (store === undefined) return;
    const { name } = this.#manifest;
    let ahead = file.storedBytes > 0 ? store.read(name, index, 0) : undefined;
    for (let position = 0; position < file.storedBytes; ) {
      if (signal.aborted) throw aborted(signal);
      const bytes = await ahead;
      if (bytes === undefined) {
        // The browser has dropped it: from here on the file is fetched again.
        file.storedBytes = position;
        file.complete = false;
        return;
      }
      position += bytes.length;
      ahead = position < file.storedBytes ? store.read(name, index, position / CHUNK_BYTES) : undefined;
      // It is awaited in the next round; should the consumer stop before, its failure concerns nobody.
      ahead?.catch(() => undefined);
      yield bytes;
    }
  }

  async *#fetchRest(file: StoredFile, index: number): AsyncGenerator<Bytes, void> {
    const { fetcher, headers, signal, store } = this.#context;
    const pieces = download(fetcher, {
      urls: file.urls,
      magic: magicOf(file),
      headers,
      from: file.storedBytes,
      sizeBytes: file.sizeBytes,
      etag: file.etag,
      signal,
      onHead: (head) => Object.assign(file, head),
    });
    const counted = this.#counted(pieces, file);
    let chunk = file.storedBytes / CHUNK_BYTES;
    for await (const bytes of inChunks(counted)) {
      file.storedBytes += bytes.length;
      file.complete = file.storedBytes === file.sizeBytes;
      await store?.write(this.#manifest, { file: index, index: chunk++, bytes });
      yield bytes;
    }
    // A server that tells no size shows only at the end that this was all.
    if (!file.complete) {
      file.complete = true;
      await store?.write(this.#manifest);
    }
  }

  async *#counted(pieces: AsyncIterable<Bytes>, file: StoredFile): AsyncGenerator<Bytes, void> {
    for await (const bytes of pieces) {
      this.#count('download', file, bytes, false);
      yield bytes;
    }
  }

  #count(phase: 'download' | 'upload', file: StoredFile, bytes: Bytes, fromCache: boolean): void {
    this.#loadedBytes += bytes.length;
    const sizes = this.#manifest.files.map(({ sizeBytes }) => sizeBytes ?? Number.NaN);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    this.#context.meter.update(phase, baseName(file), this.#loadedBytes, Number.isNaN(total) ? undefined : total, fromCache);
  }

  #verify(file: StoredFile, index: number, hasher: Hasher): void {
    const actual = bytesToHex(hasher.digest());
    const expected = this.#pinned[index];
    if (expected !== undefined && expected !== actual) {
      throw new Qwen3Error('integrity-mismatch', `${baseName(file)} should have the SHA-256 ${expected}, and has ${actual}`, {
        hint: 'the file was changed on its way or on the server; what was stored of it has been removed',
      });
    }
    file.sha256 = actual;
  }
}

function magicOf(file: StoredFile): Magic {
  if (file.role !== 'weights') return 'json';
  return file.urls.some((url) => new URL(url).pathname.endsWith('.safetensors')) ? 'safetensors' : 'gguf';
}

function baseName(file: StoredFile): string {
  const path = new URL(file.urls[0] ?? 'file:///model').pathname;
  return decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
}

/** The same bytes in chunks of {@link CHUNK_BYTES}; only the last one is smaller. */
async function* inChunks(pieces: AsyncIterable<Bytes>): AsyncGenerator<Bytes, void> {
  let chunk = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  for await (const piece of pieces) {
    for (let taken = 0; taken < piece.length; ) {
      const part = piece.subarray(taken, taken + CHUNK_BYTES - filled);
      chunk.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled === CHUNK_BYTES) {
        yield chunk;
        chunk = new Uint8Array(CHUNK_BYTES);
        filled = 0;
      }
    }
  }
  if (filled > 0) yield chunk.slice(0, filled);
}
