// Stored weights: what is there, how much room is left, whether a model fits, and how to remove one.

import { findAdapter } from './device.js';
import { find, fullName } from './catalogue.js';
import { Qwen3Error } from './errors.js';
import { pageStore } from './page.js';
import { plainSource } from './source.js';
import { indexedDbStore } from './store/indexeddb.js';
import type { Manifest } from './store/store.js';
import type { ModelSource } from './types.js';

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

/** Removes a model from the store; nothing happens if it is not there. */
export async function deleteModel(name: string): Promise<void> {
  const entry = find(name);
  const key = entry === undefined ? name : fullName(entry);
  await Promise.all([(await indexedDbStore()).delete(key), pageStore.delete(key)]);
}

/** What this site uses of the disk, and what the browser would give it at most. */
export async function storageUsage(): Promise<{ usedBytes: number; quotaBytes: number; persisted: boolean }> {
  if (globalThis.navigator?.storage === undefined) {
    throw new Qwen3Error('storage-unavailable', 'this page has no storage', { hint: 'serve it over https or from localhost' });
  }
  const [{ usage = 0, quota = 0 }, persisted] = await Promise.all([navigator.storage.estimate(), navigator.storage.persisted()]);
  return { usedBytes: usage, quotaBytes: quota, persisted };
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
}

/** Looks whether a source would fit, before the first byte of it. */
export async function preflight(source: ModelSource): Promise<Preflight> {
  const plain = plainSource(source, () => 0);
  const [{ usedBytes, quotaBytes }, adapter, manifest] = await Promise.all([
    storageUsage(), findAdapter(), indexedDbStore().then((store) => store.manifest(plain.name)),
  ]);
  const storedBytes = manifest === undefined ? 0 : summary(manifest).completeBytes;
  const freeBytes = Math.max(0, quotaBytes - usedBytes);
  const total = plain.kind === 'blob' ? 0 : (manifest && summary(manifest).sizeBytes) ?? (plain.kind === 'files' ? await sizeOf(plain.files) : undefined);
  const result: Preflight = { fits: true, storedBytes, freeBytes, deviceOk: adapter !== undefined && !adapter.software, reasons: [] };
  if (total === undefined) {
    result.reasons.push('the size of the model is not known beforehand');
    return result;
  }
  result.downloadBytes = Math.max(0, total - storedBytes);
  if (result.downloadBytes > freeBytes) {
    result.fits = false;
    result.reasons.push(`${result.downloadBytes} bytes are to be stored, and the browser has ${freeBytes} left for this site`);
  }
  return result;
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
  const sizes = manifest.files.map((file) => (file.complete ? file.storedBytes : file.sizeBytes));
  const model: StoredModel = {
    name: manifest.name,
    source: manifest.files[0]?.urls[0] ?? '',
    completeBytes: manifest.files.reduce((sum, file) => sum + file.storedBytes, 0),
    complete: manifest.files.every((file) => file.complete),
    verified: manifest.verified,
    lastUsed: manifest.lastUsed,
  };
  const total = sizes.reduce<number>((sum, size) => sum + (size ?? Number.NaN), 0);
  if (!Number.isNaN(total)) model.sizeBytes = total;
  return model;
}
