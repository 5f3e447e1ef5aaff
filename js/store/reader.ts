// Stored chunks with their hashes, read by threads of their own: reading and hashing take longer than all the rest of a load.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { Qwen3Error } from '../errors.js';
import { Channel, type HostCalls } from '../protocol.js';
import type { Store } from './store.js';

type Bytes = Uint8Array<ArrayBuffer>;
type ReaderChannel = Channel<Pick<HostCalls, 'openReader' | 'readHashed'>, Record<never, never>, never, never>;

/** A chunk as it was found. */
export interface HashedChunk {
  bytes: Bytes;
  sha256: string;
}

/** SHA-256, by the browser where it offers that: pages that are not served securely have to do it themselves. */
export async function digest(bytes: Bytes): Promise<string> {
  const subtle: SubtleCrypto | undefined = globalThis.crypto?.subtle;
  return bytesToHex(subtle === undefined ? sha256(bytes) : new Uint8Array(await subtle.digest('SHA-256', bytes)));
}

/** Reads a chunk on this thread; nothing if it is not stored. */
export async function readHashed(store: Store, name: string, file: number, chunk: number): Promise<HashedChunk | undefined> {
  const bytes = await store.read(name, file, chunk);
  return bytes === undefined ? undefined : { bytes, sha256: await digest(bytes) };
}

/** Reads chunks on other threads, in turn, as soon as they are there: until then, and where they fail, on this one. */
export class ChunkReader {
  readonly #store: Store;
  readonly #threads: { thread: Worker; channel: ReaderChannel }[] = [];
  #ready: ReaderChannel[] = [];

  /** `start` starts a thread that serves the same store and ends with this; so many are wanted. */
  constructor(store: Store, count: number, start: (() => Worker) | undefined) {
    this.#store = store;
    try {
      while (start !== undefined && this.#threads.length < count) this.#add(start());
    } catch {
      // A browser that refuses one will not give the next.
    }
  }

  #add(thread: Worker): void {
    const channel: ReaderChannel = new Channel(thread, {}, () => undefined);
    thread.addEventListener('error', (event) => {
      event.preventDefault();
      channel.close(GONE);
    });
    // One that never comes is never waited for.
    channel.call('openReader').then(() => this.#ready.push(channel), () => undefined);
    this.#threads.push({ thread, channel });
  }

  /** A chunk and its hash; nothing if it is not stored. */
  async read(name: string, file: number, chunk: number): Promise<HashedChunk | undefined> {
    const channel = this.#ready.shift();
    if (channel === undefined) return readHashed(this.#store, name, file, chunk);
    this.#ready.push(channel);
    try {
      return await channel.call('readHashed', name, file, chunk);
    } catch {
      this.#ready = this.#ready.filter((other) => other !== channel);
      return readHashed(this.#store, name, file, chunk);
    }
  }

  /** The other threads end; what is still to be read is read on this one. */
  end(): void {
    for (const { thread, channel } of this.#threads) {
      thread.terminate();
      channel.close(GONE);
    }
  }
}

const GONE = new Qwen3Error('internal', 'a thread that reads stored chunks has ended');
