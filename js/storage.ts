// Stored weights: what is there and whether it is sound, how much room is left, and how to add, take out or remove a model.

import { find, fullName } from './catalogue.js';
import { findAdapter } from './device.js';
import { aborted, Qwen3Error } from './errors.js';
import { plainOptions, startThread, unlessAborted, type Thread } from './model.js';
import { checkLoadOptions, show } from './options.js';
import { Bodies, pageStore } from './page.js';
import type { PlainSource } from './protocol.js';
import { plainSource } from './source.js';
import { indexedDbStore } from './store/indexeddb.js';
import { whileUnused } from './store/locks.js';
import { baseName, isComplete, isVerified, storedBytes, wholeChunk, type Manifest, type StoredFile } from './store/manifest.js';
import { estimate, requestPersistence, toDelete } from './store/space.js';
import type { Store } from './store/store.js';
import type { DownloadOptions, ExportedFile, ModelSource, Verification } from './types.js';

/** A model in the store. */
export interface StoredModel {
  name: string;
  /** Where its first file came from. */
  source: string;
  /** Of all files; absent until the servers have told. */
  sizeBytes?: number;
  completeBytes: number;
  complete: boolean;
  /** It matched hashes known beforehand. */
  verified: boolean;
  /** Milliseconds since 1970. */
  lastUsed: number;
}

/** The models in the browser's database and in this page's memory, the last used first. */
export async function listModels(): Promise<StoredModel[]> {
  const manifests = [...await (await indexedDbStore()).list(), ...await pageStore.list()];
  return manifests.map(summary).sort((a, b) => b.lastUsed - a.lastUsed);
}

/** Removes a model from the store; nothing happens if it is not there. Rejects with `busy` while a tab uses it. */
export async function deleteModel(name: string): Promise<void> {
  const key = keyOf(name);
  const store = await indexedDbStore();
  await Promise.all([whileUnused(key, () => store.delete(key)), pageStore.delete(key)]);
}

/** What this site uses of the disk, and what the browser would give it at most. */
export async function storageUsage(): Promise<{ usedBytes: number; quotaBytes: number; persisted: boolean }> {
  const room = await estimate();
  if (room === undefined) {
    throw new Qwen3Error('storage-unavailable', 'this page has no storage', { hint: 'serve it over https or from localhost' });
  }
  return { ...room, persisted: await navigator.storage.persisted() };
}

/** What loading a source would take, found out without loading it. */
export interface Preflight {
  /** Nothing speaks against it. */
  fits: boolean;
  /** Bytes still to be fetched; absent if no server or catalogue tells the size. */
  downloadBytes?: number;
  storedBytes: number;
  freeBytes: number;
  /** There is a WebGPU adapter that is not a software one. The CPU engine runs everywhere. */
  deviceOk: boolean;
  /** What speaks against it, in words. */
  reasons: string[];
  /** The models to delete for it to fit, the least recently used first; empty if it fits. */
  toDelete: string[];
}

/** Looks whether a source would fit, before the first byte of it. */
export async function preflight(source: ModelSource): Promise<Preflight> {
  const plain = plainSource(source, () => 0);
  const store = await indexedDbStore();
  const [{ usedBytes, quotaBytes }, adapter, manifest] = await Promise.all([storageUsage(), findAdapter(), store.manifest(plain.name)]);
  const stored = manifest === undefined ? undefined : summary(manifest);
  const freeBytes = Math.max(0, quotaBytes - usedBytes);
  const total = plain.kind === 'blob' ? 0 : stored?.sizeBytes ?? (plain.kind === 'files' ? await sizeOf(plain.files) : undefined);
  const result: Preflight = {
    fits: true, storedBytes: stored?.completeBytes ?? 0, freeBytes, deviceOk: adapter !== undefined && !adapter.software, reasons: [], toDelete: [],
  };
  if (total === undefined) {
    result.reasons.push('the size of the model is not known beforehand');
    return result;
  }
  result.downloadBytes = Math.max(0, total - result.storedBytes);
  if (result.downloadBytes > freeBytes) {
    result.fits = false;
    result.reasons.push(`${result.downloadBytes} bytes are to be stored, and the browser has ${freeBytes} left for this site`);
    result.toDelete = toDelete(await store.list(), result.downloadBytes - freeBytes, plain.name).map(({ name }) => name);
  }
  return result;
}

/** Fetches a model into the store, or the rest of it, without loading it. */
export async function downloadModel(source: ModelSource, options: DownloadOptions = {}): Promise<StoredModel> {
  const plain = remote(source);
  await onThread(options, (host) => host.call('download', plain, plainOptions(options)));
  return storedModel(plain.name);
}

/**
 * Puts files of the user's into the store as the model a source names, as if they had been downloaded: with the source's size
 * and hash checked. A model of one GGUF takes any file; those of several take each the one that has its name.
 */
export async function importModel(source: ModelSource, files: Blob | readonly Blob[], options: DownloadOptions = {}): Promise<StoredModel> {
  const plain = remote(source);
  const blobs = files instanceof Blob ? [files] : [...files];
  if (blobs.length === 0 || !blobs.every((file) => file instanceof Blob)) {
    throw new Qwen3Error('invalid-argument', `files must be at least one File or Blob, got ${show(files)}`);
  }
  const named = blobs.map((blob) => (blob instanceof File ? blob : new File([blob], 'model.gguf')));
  await onThread(options, (host) => host.call('download', plain, plainOptions(options), named));
  return storedModel(plain.name);
}

/** The files of a complete model, to be saved elsewhere: a GGUF comes out as the GGUF it was. */
export async function exportModel(name: string): Promise<ExportedFile[]> {
  const key = keyOf(name);
  const store = await indexedDbStore();
  const manifest = await store.manifest(key);
  if (manifest === undefined) throw notStored(name);
  if (!manifest.files.every(isComplete)) {
    throw new Qwen3Error('invalid-argument', `${name} is not stored to its end`, { hint: 'fetch the rest with downloadModel' });
  }
  return manifest.files.map((file, place) => ({
    name: baseName(file),
    sizeBytes: storedBytes(file),
    stream: () => exported(store, manifest, file, place),
  }));
}

/**
 * Reads all that is stored of a model and holds it against its hashes. With `repair` what is damaged is fetched again; without,
 * the next load does that.
 */
export async function verifyModel(name: string, options: DownloadOptions & { repair?: boolean } = {}): Promise<Verification> {
  const { repair = false, ...rest } = options;
  const found = await onThread(rest, (host) => host.call('verify', keyOf(name), repair, plainOptions(rest)));
  if (found === undefined) throw notStored(name);
  return found;
}

/** Work of the engine's thread that needs no engine. */
async function onThread<T>(options: DownloadOptions, work: (host: Thread['channel']) => Promise<T>): Promise<T> {
  checkLoadOptions(options);
  const { signal, onProgress } = options;
  if (signal?.aborted === true) throw aborted(signal);
  const ended = new AbortController();
  const bodies = new Bodies();
  const thread = await startThread(options, bodies, ended.signal, (notice) => {
    if (notice.type === 'progress') {
      if (notice.progress.phase === 'download') requestPersistence();
      onProgress?.(notice.progress);
    } else if (notice.type === 'cancelBody') bodies.cancel(notice.body);
  });
  try {
    return await unlessAborted(thread, signal, work(thread.channel));
  } finally {
    ended.abort();
    bodies.cancelAll();
    thread.end();
  }
}

function remote(source: ModelSource): Extract<PlainSource, { kind: 'files' | 'folder' }> {
  const plain = plainSource(source, () => 0);
  if (plain.kind !== 'files' && plain.kind !== 'folder') {
    throw new Qwen3Error('invalid-argument', `expected a catalogue name, an address or { urls }, got ${show(source)}`, { hint: 'to store a file of your own, name its model and pass the file to importModel' });
  }
  if (plain.kind === 'files' && plain.embedded === true) {
    throw new Qwen3Error('invalid-argument', `${plain.name} ships with the package and is not stored`, { hint: 'load it: it needs no network' });
  }
  return plain;
}

async function storedModel(name: string): Promise<StoredModel> {
  const manifest = await (await indexedDbStore()).manifest(name);
  if (manifest === undefined) throw notStored(name);
  return summary(manifest);
}

function notStored(name: string): Qwen3Error {
  return new Qwen3Error('invalid-argument', `${name} is not stored`, { hint: 'listModels names what is' });
}

function keyOf(name: string): string {
  const entry = find(name);
  return entry === undefined ? name : fullName(entry);
}

function exported(store: Store, manifest: Manifest, file: StoredFile, place: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let index = 0;
  return new ReadableStream({
    async pull(controller) {
      if (index === file.chunks.length) return controller.close();
      const bytes = await store.read(manifest.name, place, index);
      if (bytes?.length !== wholeChunk(manifest, file, index)) throw notStored(manifest.name);
      if (bytes !== undefined) controller.enqueue(bytes);
      index += 1;
    },
  }, { highWaterMark: 0 });
}

/** From the catalogue, or from the servers' heads. */
async function sizeOf(files: { urls: string[]; sizeBytes?: number }[]): Promise<number | undefined> {
  const sizes = await Promise.all(files.map(async ({ urls, sizeBytes }) => {
    if (sizeBytes !== undefined) return sizeBytes;
    const response = await fetch(urls[0] ?? '', { method: 'HEAD' }).catch(() => undefined);
    return response?.ok === true ? Number(response.headers.get('content-length') ?? Number.NaN) : Number.NaN;
  }));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  return Number.isNaN(total) ? undefined : total;
}

function summary(manifest: Manifest): StoredModel {
  const { name, files, lastUsed } = manifest;
  const model: StoredModel = {
    name, lastUsed,
    source: files[0]?.urls[0] ?? '',
    completeBytes: files.reduce((sum, file) => sum + storedBytes(file), 0),
    complete: files.every(isComplete),
    verified: isVerified(manifest),
  };
  const total = files.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? Number.NaN), 0);
  if (!Number.isNaN(total)) model.sizeBytes = total;
  return model;
}
