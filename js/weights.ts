// The bytes of a model in the order the engine wants them: from a file or stream of the caller's, or from the store and the network.

import { free } from './bytes.js';
import type { Magic } from './download/magic.js';
import { Origin } from './download/origin.js';
import type { Fetcher } from './download/response.js';
import { aborted, Qwen3Error } from './errors.js';
import type { Meter } from './progress.js';
import type { PlainSource, RemoteFile } from './protocol.js';
import { progressChannel, RemoteModel, type SharedProgress } from './remote-model.js';
import { inUse, toWrite, tryToWrite, type Release } from './store/locks.js';
import { CHUNK_BYTES, isChecked, type Manifest, type StoredFile } from './store/manifest.js';
import type { Store } from './store/store.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** A model's bytes, opened: what the engine needs beforehand, and its weight files in order. */
export interface Weights {
  format: 'gguf' | 'safetensors';
  configJson?: string | undefined;
  tokenizerJson?: Bytes | undefined;
  tokenizerConfigJson?: string | undefined;
  chatTemplate?: string | undefined;
  files: WeightFile[];
  /** Called when every byte was taken and found good. */
  finish(): Promise<void>;
  /** Called when the bytes are no model. */
  discard(): Promise<void>;
  /** Called last: others may delete what is stored. */
  release(): Promise<void>;
}

/** One file of weights. */
export interface WeightFile {
  /** Where they are known, which may be with the first bytes. */
  sizeBytes(): number | undefined;
  chunks(): AsyncGenerator<Bytes, void>;
}

/** What bytes are fetched with, and where they are kept. */
export interface Context {
  fetcher: Fetcher;
  headers: Record<string, string>;
  /** At once. */
  connections: number;
  stallTimeoutMs?: number | undefined;
  /** Nothing is kept without one. */
  store: Store | undefined;
  /** Other tabs use the same store. */
  shared: boolean;
  /** Starts a thread that reads the store, where there can be one. */
  startReader: (() => Worker) | undefined;
  meter: Meter;
  signal: AbortSignal;
  /** A stream the page holds, by its number. */
  readBody(body: number): Promise<Bytes | undefined>;
}

/** A source whose bytes lie on servers. */
export type RemoteSource = Extract<PlainSource, { kind: 'files' | 'folder' }>;

/** Opens a source. */
export async function openWeights(source: PlainSource, context: Context): Promise<Weights> {
  switch (source.kind) {
    case 'blob':
      return local(blobChunks(source.blob, source.name, context), source.blob.size);
    case 'stream':
      return local(streamChunks(source.body, source.name, context), undefined);
    case 'files':
    case 'folder':
      return remote(source, context);
  }
}

/** Opens what is stored under a name; nothing if there is nothing. */
export async function openStored(name: string, context: Context): Promise<RemoteModel | undefined> {
  const use = context.shared ? await inUse(name, context.signal) : undefined;
  try {
    const write = context.shared ? await turnToWrite(name, context) : undefined;
    const manifest = await context.store?.manifest(name);
    if (manifest !== undefined) return new RemoteModel(manifest, context, { use, write });
    await write?.();
  } catch (error) {
    await use?.();
    throw error;
  }
  await use?.();
  return undefined;
}

function local(chunks: AsyncGenerator<Bytes, void>, size: number | undefined): Weights {
  const nothing = (): Promise<void> => Promise.resolve();
  return { format: 'gguf', files: [{ sizeBytes: () => size, chunks: () => chunks }], finish: nothing, discard: nothing, release: nothing };
}

async function* blobChunks(blob: Blob, name: string, { meter, signal }: Context): AsyncGenerator<Bytes, void> {
  for (let position = 0; position < blob.size; position += CHUNK_BYTES) {
    if (signal.aborted) throw aborted(signal);
    const bytes = new Uint8Array(await blob.slice(position, position + CHUNK_BYTES).arrayBuffer());
    meter.update('upload', name, position + bytes.length, blob.size, true);
    yield bytes;
    free(bytes);
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
    free(bytes);
  }
}

async function remote(source: RemoteSource, context: Context): Promise<Weights> {
  const model = await openRemote(source, context);
  try {
    const text = async (role: StoredFile['role']): Promise<string | undefined> => {
      const bytes = await model.whole(role);
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    };
    const [first] = model.weightFiles;
    if (first !== undefined) model.prepare(first);
    return {
      format: source.kind === 'folder' ? 'safetensors' : 'gguf',
      configJson: await text('config'),
      tokenizerJson: await model.whole('tokenizer'),
      tokenizerConfigJson: await text('tokenizerConfig'),
      chatTemplate: await text('chatTemplate'),
      files: model.weightFiles.map((index) => ({ sizeBytes: () => model.sizeBytes(index), chunks: () => model.chunks(index) })),
      finish: () => model.finish(),
      discard: () => model.discard(),
      release: () => model.release(),
    };
  } catch (error) {
    await model.release();
    throw error;
  }
}

/** What is stored of a source, or an empty model to fill; one that is not whole only when it is this tab's turn to write it. */
async function openRemote(source: RemoteSource, context: Context): Promise<RemoteModel> {
  const { store, shared, signal } = context;
  const { name } = source;
  const wanted = source.kind === 'files' ? filesOf(source) : undefined;
  const stored = async (): Promise<Manifest | undefined> => {
    const manifest = await store?.manifest(name);
    return manifest !== undefined && (wanted === undefined || sameFiles(manifest.files, wanted)) ? withWanted(manifest, wanted) : undefined;
  };
  const use = shared ? await inUse(name, signal) : undefined;
  let write: Release | undefined;
  try {
    let manifest = await stored();
    if (manifest?.files.every(isChecked) !== true && shared) {
      write = await turnToWrite(name, context);
      manifest = await stored();
      if (manifest?.files.every(isChecked) === true) {
        await write();
        write = undefined;
      }
    }
    if (manifest === undefined) {
      // Under this name there may be another version of the model.
      if (await store?.manifest(name) !== undefined) await store?.delete(name);
      const files = wanted ?? await filesOfFolder(source.kind === 'folder' ? source.url : '', context);
      manifest = { version: 2, name, chunkBytes: CHUNK_BYTES, files, lastUsed: Date.now() };
    }
    return new RemoteModel(manifest, context, { use, write });
  } catch (error) {
    await write?.();
    await use?.();
    throw error;
  }
}

/** The right to write a model; while another tab has it, this one shows how far that one has come. */
async function turnToWrite(name: string, { meter, signal }: Context): Promise<Release> {
  const release = await tryToWrite(name);
  if (release !== undefined) return release;
  const channel = progressChannel(name);
  channel.onmessage = ({ data }: MessageEvent<SharedProgress>) => meter.update('download', data.file, data.loadedBytes, data.totalBytes, false);
  try {
    return await toWrite(name, signal);
  } finally {
    channel.close();
  }
}

function filesOf(source: Extract<PlainSource, { kind: 'files' }>): StoredFile[] {
  const files = source.files.map((file) => toStore('weights', file));
  return source.tokenizer === undefined ? files : [toStore('tokenizer', source.tokenizer), ...files];
}

/**
 * `config.json`, `tokenizer.json`, the shards of the index or the one `model.safetensors`, and what else there is of
 * `tokenizer_config.json` and `chat_template.jinja`.
 */
async function filesOfFolder(url: string, { fetcher, headers, stallTimeoutMs, signal }: Context): Promise<StoredFile[]> {
  const at = (name: string): RemoteFile => ({ urls: [new URL(name, url).href] });
  /** The text of a file that a folder need not hold. */
  const find = async (name: string, magic: Magic): Promise<string | undefined> => {
    try {
      const origin = new Origin(fetcher, { ...at(name), magic, headers, stallTimeoutMs, onHead: () => undefined });
      const parts: Bytes[] = [];
      for await (const bytes of origin.span(0, undefined, signal)) parts.push(bytes);
      return await new Blob(parts).text();
    } catch (error) {
      // What is wrong with the server will be told of the files that must be there.
      if (error instanceof Qwen3Error && error.code === 'download-failed') return undefined;
      throw error;
    }
  };
  const [index, config, template] = await Promise.all([
    find('model.safetensors.index.json', 'json'), find('tokenizer_config.json', 'json'), find('chat_template.jinja', 'text'),
  ]);
  const shards = index === undefined ? ['model.safetensors'] : shardsOf(index);
  return [
    toStore('config', at('config.json')),
    toStore('tokenizer', at('tokenizer.json')),
    ...config === undefined ? [] : [toStore('tokenizerConfig', at('tokenizer_config.json'))],
    ...template === undefined ? [] : [toStore('chatTemplate', at('chat_template.jinja'))],
    ...shards.map((name) => toStore('weights', at(name))),
  ];
}

function shardsOf(text: string): string[] {
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw new Qwen3Error('malformed-file', 'model.safetensors.index.json is not JSON', { cause });
  }
  if (typeof index === 'object' && index !== null && 'weight_map' in index && typeof index.weight_map === 'object' && index.weight_map !== null) {
    const names = Object.values(index.weight_map).filter((name): name is string => typeof name === 'string');
    // An address would have the page ask a host that nobody named.
    const foreign = names.find((name) => !/^[^/\\:?#]+$/.test(name));
    if (foreign !== undefined) throw new Qwen3Error('malformed-file', `model.safetensors.index.json names '${foreign}', which is no file of its folder`);
    if (names.length > 0) return [...new Set(names)].sort();
  }
  throw new Qwen3Error('malformed-file', 'model.safetensors.index.json has no weight_map that names files');
}

function toStore(role: StoredFile['role'], { urls, sizeBytes, sha256 }: RemoteFile): StoredFile {
  return {
    role, urls, chunks: [],
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(sha256 === undefined ? {} : { pinned: sha256 }),
  };
}

/** Whether what is stored is what is wanted now: the same files, and no other hash than the pinned one. */
function sameFiles(stored: StoredFile[], wanted: StoredFile[]): boolean {
  return stored.length === wanted.length && wanted.every((file, index) => {
    const other = stored[index];
    const known = other?.sha256 ?? other?.pinned;
    return other !== undefined && other.role === file.role && file.urls.some((url) => other.urls.includes(url))
      && (file.pinned === undefined || known === undefined || file.pinned === known)
      && (file.sizeBytes === undefined || other.sizeBytes === undefined || file.sizeBytes === other.sizeBytes);
  });
}

/** What is stored, to go on under today's addresses and hashes. */
function withWanted(manifest: Manifest, wanted: StoredFile[] | undefined): Manifest {
  if (wanted === undefined) return manifest;
  const files = manifest.files.map((file, index) => {
    const { urls = file.urls, pinned, sizeBytes } = wanted[index] ?? {};
    return { ...(sizeBytes === undefined ? {} : { sizeBytes }), ...file, urls, ...(pinned === undefined ? {} : { pinned }) };
  });
  return { ...manifest, files };
}
