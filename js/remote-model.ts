// A model whose files lie on servers, kept in the store as they arrive: every byte that leaves here was checked, or is hashed on its way.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { free } from './bytes.js';
import { ChunkDownload } from './download/chunks.js';
import type { Magic } from './download/magic.js';
import { Origin } from './download/origin.js';
import { FileChanged } from './download/response.js';
import { aborted, Qwen3Error } from './errors.js';
import { baseName, hasChunk, isChecked, isComplete, isVerified, storedBytes, wholeChunk, type Manifest, type StoredFile } from './store/manifest.js';
import { toWrite, type Release } from './store/locks.js';
import { ChunkReader, digest } from './store/reader.js';
import { assertFits, withAdvice } from './store/space.js';
import type { Verification } from './types.js';
import type { Context } from './weights.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** Chunks that are read from the store, and checked, before they are asked for. */
const READ_AHEAD = 4;
/** Threads that do so. One keeps up with a plain read of the chunks, hashed they take half as long again. */
const READERS = 2;
/** The other tabs are told of progress this often. */
const TELL_MS = 200;

/** What the tab that writes a model tells those that wait for it. */
export interface SharedProgress {
  file: string;
  loadedBytes: number;
  totalBytes?: number;
}

/** The channel on which it does. */
export function progressChannel(name: string): BroadcastChannel {
  return new BroadcastChannel(`qwen3-web progress ${name}`);
}

/** The locks a model holds. */
export interface Locks {
  use: Release | undefined;
  write: Release | undefined;
}

/** A model of one or more files. */
export class RemoteModel {
  readonly #manifest: Manifest;
  readonly #context: Context;
  readonly #locks: Locks;
  readonly #channel: BroadcastChannel | undefined;
  readonly #reader: ChunkReader | undefined;
  /** Everything was there from the start. */
  readonly #complete: boolean;
  readonly #prepared = new Map<number, ReadAhead>();
  #loadedBytes: number;
  #toldAt = 0;
  /** One write at a time, so that no manifest tells of a chunk whose own write may still fail. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(manifest: Manifest, context: Context, locks: Locks) {
    this.#manifest = manifest;
    this.#context = context;
    this.#locks = locks;
    this.#complete = manifest.files.every(isComplete);
    if (context.store !== undefined) {
      const stored = manifest.files.reduce((count, { chunks }) => count + chunks.length, 0);
      // A few chunks are read before another thread is there.
      this.#reader = new ChunkReader(context.store, stored > READ_AHEAD ? READERS : 0, context.startReader);
    }
    this.#loadedBytes = this.#complete ? 0 : manifest.files.reduce((sum, file) => sum + storedBytes(file), 0);
    if (context.shared && !this.#complete && typeof BroadcastChannel !== 'undefined') this.#channel = progressChannel(manifest.name);
  }

  /** The places of the weight files. */
  get weightFiles(): number[] {
    return [...this.#manifest.files.keys()].filter((index) => this.#manifest.files[index]?.role === 'weights');
  }

  /** Of the whole file, once it is known. */
  sizeBytes(place: number): number | undefined {
    return this.#file(place).sizeBytes;
  }

  /** All bytes of the file with that role, nothing if the model has none. */
  async whole(role: StoredFile['role']): Promise<Bytes | undefined> {
    const index = this.#manifest.files.findIndex((file) => file.role === role);
    if (index < 0) return undefined;
    const parts: Blob[] = [];
    for await (const bytes of this.chunks(index)) parts.push(new Blob([bytes]));
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  /**
   * The bytes of a file, chunk by chunk, the whole checked at its end. What is not right is forgotten: the next load fetches it again.
   * A chunk is the caller's until the next one is asked for.
   */
  async *chunks(place: number): AsyncGenerator<Bytes, void> {
    const file = this.#file(place);
    const { signal, store } = this.#context;
    const hasher = isChecked(file) || (store === undefined && file.pinned === undefined) ? undefined : sha256.create();
    const download = this.#download(file, place);
    const ahead = this.#readAhead(place);
    try {
      if (!isComplete(file)) {
        if (file.sizeBytes !== undefined) await this.#assertFits(file);
        this.#tell('download', file, false);
        download.start();
      }
      for (let index = 0; file.sizeBytes === undefined || index * this.#manifest.chunkBytes < file.sizeBytes; index += 1) {
        if (signal.aborted) throw aborted(signal);
        let bytes = await ahead.take(index);
        if (bytes !== undefined && this.#complete) this.#count('upload', file, bytes.length);
        if (bytes === undefined) {
          await this.#beginWriting();
          bytes = await download.take(index);
        }
        if (bytes === undefined) break;
        hasher?.update(bytes);
        yield bytes;
        free(bytes);
      }
      if (hasher !== undefined) this.#verify(file, bytesToHex(hasher.digest()));
    } catch (error) {
      await download.stop();
      if (error instanceof FileChanged || (error instanceof Qwen3Error && error.code === 'integrity-mismatch')) await this.#forget(file);
      throw error;
    } finally {
      await download.stop();
    }
  }

  /** Marks the model as used; every byte of it has been taken. */
  async finish(): Promise<void> {
    const { store, shared } = this.#context;
    // Without the right to write, what another tab may have written since stays.
    const manifest = shared && this.#locks.write === undefined ? await store?.manifest(this.#manifest.name) : this.#manifest;
    if (manifest !== undefined) await store?.write({ ...manifest, lastUsed: Date.now() });
    this.#reader?.end();
    await this.#locks.write?.();
    this.#locks.write = undefined;
  }

  /** Removes the model from the store: what it holds is no model. */
  async discard(): Promise<void> {
    await this.#context.store?.delete(this.#manifest.name);
  }

  /** Others may write the model, or delete it. */
  async release(): Promise<void> {
    this.#channel?.close();
    this.#reader?.end();
    const { use, write } = this.#locks;
    this.#locks.use = this.#locks.write = undefined;
    await write?.();
    await use?.();
  }

  /** Reads all that is stored and holds it against its hashes; with `repair` what is damaged is fetched again. */
  async verify(repair: boolean): Promise<Verification> {
    const { files, chunkBytes, name } = this.#manifest;
    const { signal, store } = this.#context;
    const damaged: Verification['damaged'] = [];
    this.#loadedBytes = 0;
    await this.#beginWriting();
    for (const [place, file] of files.entries()) {
      const hasher = sha256.create();
      const download = this.#download(file, place);
      const ahead = this.#readAhead(place);
      let whole = isComplete(file);
      try {
        for (let index = 0; index < file.chunks.length; index += 1) {
          if (signal.aborted) throw aborted(signal);
          let bytes = await ahead.take(index);
          if (bytes === undefined && file.chunks[index]?.bytes === 0) {
            damaged.push({ file: baseName(file), from: index * chunkBytes, to: index * chunkBytes + (wholeChunk(this.#manifest, file, index) ?? chunkBytes) });
            if (repair) bytes = await download.take(index);
          }
          whole &&= bytes !== undefined;
          if (bytes !== undefined) hasher.update(bytes);
          this.#count('verify', file, bytes?.length ?? 0);
          if (bytes !== undefined) free(bytes);
        }
      } finally {
        await download.stop();
      }
      if (whole) {
        const actual = bytesToHex(hasher.digest());
        if (actual === (file.pinned ?? file.sha256 ?? actual)) file.sha256 = actual;
        else {
          damaged.push({ file: baseName(file), from: 0, to: file.sizeBytes ?? 0 });
          file.chunks = [];
        }
      }
    }
    await store?.write(this.#manifest);
    return { name, complete: files.every(isComplete), verified: isVerified(this.#manifest), damaged };
  }

  /** Begins to read a file's first chunks, before {@link RemoteModel.chunks} is asked for them. */
  prepare(place: number): void {
    const ahead = this.#readAhead(place);
    ahead.start(0);
    this.#prepared.set(place, ahead);
  }

  #readAhead(place: number): ReadAhead {
    return this.#prepared.get(place) ?? new ReadAhead((index) => this.#stored(this.#file(place), place, index));
  }

  #file(place: number): StoredFile {
    const file = this.#manifest.files[place];
    if (file === undefined) throw new Qwen3Error('internal', `no file ${place}`);
    return file;
  }

  #download(file: StoredFile, place: number): ChunkDownload {
    const { fetcher, headers, signal, connections, stallTimeoutMs } = this.#context;
    const origin = new Origin(fetcher, {
      urls: file.urls,
      magic: magicOf(file),
      headers, stallTimeoutMs,
      sizeBytes: file.sizeBytes,
      // A size that no server has told is the source's own.
      sizePinned: file.pinned !== undefined || file.version === undefined,
      version: file.version,
      onHead: (head) => {
        Object.assign(file, head);
        download.start();
      },
    });
    const download = new ChunkDownload(origin, {
      chunkBytes: this.#manifest.chunkBytes,
      connections,
      has: (index) => hasChunk(this.#manifest, file, index),
      beginning: async (index) => (hasChunk(this.#manifest, file, index) ? undefined : this.#readChecked(file, place, index)),
      keep: (index, bytes, whole) => this.#keep(file, place, index, bytes, whole),
      onBytes: (count) => this.#count('download', file, count),
    }, signal);
    return download;
  }

  /** A whole chunk from the store; nothing if it is not there, or no longer what it was. */
  async #stored(file: StoredFile, place: number, index: number): Promise<Bytes | undefined> {
    return hasChunk(this.#manifest, file, index) ? this.#readChecked(file, place, index) : undefined;
  }

  async #readChecked(file: StoredFile, place: number, index: number): Promise<Bytes | undefined> {
    const entry = file.chunks[index];
    if (entry === undefined || entry.bytes === 0) return undefined;
    // A browser that has lost the bytes of a record says so by an error.
    const found = await this.#reader?.read(this.#manifest.name, place, index).catch(() => undefined);
    if (found?.bytes.length === entry.bytes) {
      entry.sha256 ??= found.sha256;
      if (entry.sha256 === found.sha256) return found.bytes;
    }
    const { sha256: expected } = entry;
    // The hash of a whole chunk stays: what is fetched in its place must have it.
    const whole = entry.bytes === wholeChunk(this.#manifest, file, index);
    file.chunks[index] = whole && expected !== undefined ? { bytes: 0, sha256: expected } : undefined;
    return undefined;
  }

  async #keep(file: StoredFile, place: number, index: number, bytes: Bytes, whole: boolean): Promise<void> {
    const { store } = this.#context;
    if (store === undefined) return;
    const before = file.chunks[index];
    // What takes the place of a damaged chunk can be checked as a whole only.
    const checked = before?.bytes === 0;
    if (checked && !whole) return;
    const hash = await digest(bytes);
    if (checked && before.sha256 !== hash) {
      throw mismatch(`${baseName(file)} from byte ${index * this.#manifest.chunkBytes} on`, before.sha256 ?? '', hash);
    }
    const write = this.#writing.then(async () => {
      // The size may have been told only by the answer these bytes came with.
      if (!file.chunks.some((chunk) => chunk !== undefined)) await this.#assertFits(file);
      file.chunks[index] = { bytes: bytes.length, sha256: hash };
      try {
        await store.write(this.#manifest, { file: place, index, bytes });
      } catch (error) {
        file.chunks[index] = before;
        const lacking = file.sizeBytes === undefined ? bytes.length : file.sizeBytes - storedBytes(file);
        throw await withAdvice(error, store, this.#manifest.name, lacking);
      }
    });
    this.#writing = write.catch(() => undefined);
    await write;
  }

  async #assertFits(file: StoredFile): Promise<void> {
    const { store, shared } = this.#context;
    if (store === undefined || !shared || file.sizeBytes === undefined) return;
    await assertFits(store, this.#manifest.name, file.sizeBytes - storedBytes(file));
  }

  /** Only one tab at a time writes; a load that finds all it needs never asks. */
  async #beginWriting(): Promise<void> {
    if (this.#context.shared) this.#locks.write ??= await toWrite(this.#manifest.name, this.#context.signal);
  }

  #verify(file: StoredFile, actual: string): void {
    if (file.pinned !== undefined && file.pinned !== actual) throw mismatch(baseName(file), file.pinned, actual);
    file.sha256 = actual;
  }

  /** Nothing stored of the file counts any more. */
  async #forget(file: StoredFile): Promise<void> {
    const { store } = this.#context;
    const { name, files } = this.#manifest;
    const { role, urls, pinned } = file;
    for (const key of ['sizeBytes', 'version', 'sha256'] as const) delete file[key];
    Object.assign(file, { role, urls, chunks: [] }, pinned === undefined ? {} : { pinned });
    if (files.every(({ chunks }) => chunks.length === 0)) await store?.delete(name);
    else await store?.write(this.#manifest);
  }

  #count(phase: 'download' | 'upload' | 'verify', file: StoredFile, bytes: number): void {
    this.#loadedBytes += bytes;
    this.#tell(phase, file, phase !== 'download');
  }

  #tell(phase: 'download' | 'upload' | 'verify', file: StoredFile, fromCache: boolean): void {
    const sizes = this.#manifest.files.map(({ sizeBytes }) => sizeBytes ?? Number.NaN);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const totalBytes = Number.isNaN(total) ? undefined : total;
    // What is fetched a second time counts once.
    const loadedBytes = Math.min(this.#loadedBytes, totalBytes ?? this.#loadedBytes);
    this.#context.meter.update(phase, baseName(file), loadedBytes, totalBytes, fromCache);
    if (this.#channel === undefined || performance.now() - this.#toldAt < TELL_MS) return;
    this.#toldAt = performance.now();
    this.#channel.postMessage({ file: baseName(file), loadedBytes, ...(totalBytes === undefined ? {} : { totalBytes }) } satisfies SharedProgress);
  }
}

/** Reads a few places ahead of the one that is asked for, in ascending order. */
class ReadAhead {
  readonly #read: (index: number) => Promise<Bytes | undefined>;
  readonly #under = new Map<number, Promise<Bytes | undefined>>();

  constructor(read: (index: number) => Promise<Bytes | undefined>) {
    this.#read = read;
  }

  /** Reads this place and those after it. */
  start(index: number): void {
    for (let next = index; next < index + READ_AHEAD; next += 1) {
      if (!this.#under.has(next)) this.#under.set(next, this.#read(next));
    }
  }

  take(index: number): Promise<Bytes | undefined> {
    this.start(index);
    const result = this.#under.get(index) ?? this.#read(index);
    this.#under.delete(index);
    return result;
  }
}

function mismatch(what: string, expected: string, actual: string): Qwen3Error {
  return new Qwen3Error('integrity-mismatch', `${what} should have the SHA-256 ${expected}, and has ${actual}`, {
    hint: 'the file was changed on its way or on the server; what was stored of it has been removed',
  });
}

function magicOf(file: StoredFile): Magic {
  if (file.role === 'chatTemplate') return 'text';
  if (file.role !== 'weights') return 'json';
  return file.urls.some((url) => new URL(url).pathname.endsWith('.safetensors')) ? 'safetensors' : 'gguf';
}
