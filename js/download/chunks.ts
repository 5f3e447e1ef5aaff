// A file fetched chunk by chunk over several connections at once, and handed out in order.

import { free } from '../bytes.js';
import { aborted } from '../errors.js';
import { RangesIgnored, type Origin } from './origin.js';

type Bytes = Uint8Array<ArrayBuffer>;

/** What is to be fetched, and what becomes of it. */
export interface ChunkPlan {
  /** The size of every chunk but the last. */
  chunkBytes: number;
  /** At once, where the server sends parts. */
  connections: number;
  /** Whether a chunk is there already. */
  has(index: number): boolean;
  /** The beginning of a chunk that is there, if it is. */
  beginning(index: number): Promise<Bytes | undefined>;
  /** Keeps a chunk, or the beginning of one that comes slowly. */
  keep(index: number, bytes: Bytes, whole: boolean): Promise<void>;
  /** Called for bytes as they come. */
  onBytes(count: number): void;
}

/** A chunk on its way; one that is there already passes by and has no bytes. */
interface Chunk {
  bytes: Bytes | undefined;
  /** Bytes that have come, and as many of them as are kept, since when. */
  filled: number;
  kept: number;
  keptAt: number;
}

/** A chunk that takes longer than this is kept as far as it has come: that much is lost at most when the page closes. */
const KEEP_AFTER_MS = 2_000;

/** Fetches what a {@link ChunkPlan} lacks, the lowest chunks first. */
export class ChunkDownload {
  readonly #origin: Origin;
  readonly #plan: ChunkPlan;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** Being fetched. */
  readonly #busy = new Set<number>();
  /** Fetched in this download. */
  readonly #fetched = new Set<number>();
  /** Fetched and not yet taken: no more of them than keep all connections going. */
  readonly #ready = new Map<number, Bytes>();
  readonly #lanes = new Set<Promise<void>>();
  /** Lanes that wait for room. */
  #blocked = 0;
  #lanesSignal = new AbortController();
  /** Somebody waits for this one. */
  #awaited: number | undefined;
  #failure: { error: unknown } | undefined;
  #waiting: (() => void)[] = [];

  constructor(origin: Origin, plan: ChunkPlan, signal: AbortSignal) {
    this.#origin = origin;
    this.#plan = plan;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#signal.addEventListener('abort', () => this.#wake());
  }

  /** Opens as many connections as there is use for; one more where all wait for room and none will fetch what the caller waits for. */
  start(): void {
    while (this.#failure === undefined && !this.#signal.aborted) {
      const next = this.#next();
      const limit = this.#origin.ranges === true ? this.#plan.connections : 1;
      const stuck = next === this.#awaited && this.#blocked === this.#lanes.size;
      if (next === undefined || !this.#hasRoom(next) || (this.#lanes.size >= limit && !stuck)) return;
      this.#busy.add(next);
      const { signal } = this.#lanesSignal;
      const lane = this.#lane(next, signal).catch((error: unknown) => {
        // One that was told to end has nothing to report.
        if (!signal.aborted) this.#failed(error);
      }).finally(() => {
        this.#lanes.delete(lane);
        this.#wake();
      });
      this.#lanes.add(lane);
    }
  }

  /** A chunk's bytes once they are there, nothing if the file ends before it. Chunks are asked for in ascending order. */
  async take(index: number): Promise<Bytes | undefined> {
    for (;;) {
      const bytes = this.#ready.get(index);
      if (bytes !== undefined) {
        this.#ready.delete(index);
        this.#wake();
        this.start();
        return bytes;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#signal.aborted) throw aborted(this.#signal);
      const { sizeBytes } = this.#origin;
      if (sizeBytes !== undefined && index * this.#plan.chunkBytes >= sizeBytes) return undefined;
      this.#awaited = index;
      this.start();
      await this.#change();
      this.#awaited = undefined;
    }
  }

  /** Gives up what is under way; when this returns nothing more is kept. */
  async stop(): Promise<void> {
    this.#stop.abort();
    while (this.#lanes.size > 0) await Promise.all(this.#lanes);
  }

  /** The lowest chunk nobody has or fetches. */
  #next(): number | undefined {
    const { sizeBytes } = this.#origin;
    const count = sizeBytes === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(sizeBytes / this.#plan.chunkBytes);
    for (let index = 0; index < count; index += 1) if (!this.#passes(index)) return index;
    return undefined;
  }

  #passes(index: number): boolean {
    return this.#plan.has(index) || this.#fetched.has(index) || this.#busy.has(index);
  }

  #hasRoom(index: number): boolean {
    return index === this.#awaited || this.#busy.size + this.#ready.size < 2 * this.#plan.connections;
  }

  /** One connection: chunk after chunk. The first is marked as busy already. */
  async #lane(first: number, signal: AbortSignal): Promise<void> {
    for (let index: number | undefined = first; index !== undefined; ) {
      await this.#fetch(index, AbortSignal.any([signal, this.#signal]));
      index = this.#next();
      if (index === undefined || !this.#hasRoom(index)) return;
      this.#busy.add(index);
    }
  }

  /** Fetches a chunk that is marked as busy; from a server without ranges all that follow it too. */
  async #fetch(first: number, signal: AbortSignal): Promise<void> {
    const { chunkBytes, onBytes } = this.#plan;
    const origin = this.#origin;
    const to = origin.ranges === false ? undefined : Math.min((first + 1) * chunkBytes, origin.sizeBytes ?? Number.MAX_SAFE_INTEGER);
    let index = first;
    const beginning = await this.#plan.beginning(first);
    let chunk: Chunk | undefined = { bytes: new Uint8Array(chunkBytes), filled: beginning?.length ?? 0, kept: beginning?.length ?? 0, keptAt: performance.now() };
    if (beginning !== undefined) chunk.bytes?.set(beginning);
    try {
      for await (let piece of origin.span(first * chunkBytes + chunk.filled, to, signal)) {
        while (piece.length > 0) {
          chunk ??= { bytes: await this.#begin(index, signal), filled: 0, kept: 0, keptAt: performance.now() };
          const { bytes, filled } = chunk;
          const part = piece.subarray(0, chunkBytes - filled);
          piece = piece.subarray(part.length);
          bytes?.set(part, filled);
          chunk.filled += part.length;
          if (bytes !== undefined) onBytes(part.length);
          if (chunk.filled === chunkBytes) {
            if (bytes !== undefined) await this.#finish(index, bytes);
            chunk = undefined;
            index += 1;
          } else if (performance.now() - chunk.keptAt > KEEP_AFTER_MS) {
            await this.#keepBeginning(index, chunk);
          }
        }
        free(piece);
      }
    } catch (error) {
      // Paused, or the network is gone: what has come is not fetched again, unless another connection begins anew with the same chunk.
      const ends = this.#signal.aborted || this.#failure !== undefined || !(signal.aborted || error instanceof RangesIgnored);
      if (ends && chunk !== undefined && chunk.filled < chunkBytes) await this.#keepBeginning(index, chunk).catch(() => undefined);
      throw error;
    }
    if (chunk?.bytes !== undefined && chunk.filled > 0) await this.#finish(index, chunk.bytes.slice(0, chunk.filled));
  }

  async #keepBeginning(index: number, chunk: Chunk): Promise<void> {
    if (chunk.bytes === undefined || chunk.filled === chunk.kept) return;
    const beginning = chunk.bytes.slice(0, chunk.filled);
    await this.#plan.keep(index, beginning, false);
    free(beginning);
    chunk.kept = chunk.filled;
    chunk.keptAt = performance.now();
  }

  /** Room for a chunk of a stream, nothing if it is there already. */
  async #begin(index: number, signal: AbortSignal): Promise<Bytes | undefined> {
    if (this.#passes(index)) return undefined;
    while (!this.#hasRoom(index)) {
      if (signal.aborted) throw aborted(signal);
      this.#blocked += 1;
      await this.#change();
      this.#blocked -= 1;
    }
    this.#busy.add(index);
    return new Uint8Array(this.#plan.chunkBytes);
  }

  async #finish(index: number, bytes: Bytes): Promise<void> {
    await this.#plan.keep(index, bytes, true);
    this.#fetched.add(index);
    this.#busy.delete(index);
    this.#ready.set(index, bytes);
    this.#wake();
  }

  #failed(error: unknown): void {
    this.#lanesSignal.abort();
    this.#busy.clear();
    // The parts that are under way are given up, and one connection reads the file from its beginning.
    if (error instanceof RangesIgnored) this.#lanesSignal = new AbortController();
    else this.#failure = { error };
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
