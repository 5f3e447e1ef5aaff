// What the page answers to the engine's thread: requests through the caller's own fetch, streams, and the store in memory.

import { Qwen3Error } from './errors.js';
import type { Handlers, PageCalls } from './protocol.js';
import { memoryStore } from './store/memory.js';

/** The one store of `cache: 'memory'`; it ends with the page. */
export const pageStore = memoryStore();

type Bytes = Uint8Array<ArrayBuffer>;

/** Streams the page holds for the engine's thread, by number. */
export class Bodies {
  readonly #readers = new Map<number, ReadableStreamDefaultReader<Uint8Array>>();
  #next = 0;

  /** Takes a stream, locks it, and returns its number. */
  hold(stream: ReadableStream<Uint8Array>): number {
    this.#readers.set(this.#next, stream.getReader());
    return this.#next++;
  }

  /** The next bytes, as a copy of their own that can be transferred. */
  async read(body: number): Promise<Bytes | undefined> {
    const chunk = await this.#readers.get(body)?.read();
    if (chunk?.value === undefined) return undefined;
    if (!(chunk.value instanceof Uint8Array)) {
      throw new Qwen3Error('invalid-argument', 'the stream must yield Uint8Array chunks');
    }
    return chunk.value.slice();
  }

  cancel(body: number): void {
    // A stream that already failed has nothing left to cancel.
    this.#readers.get(body)?.cancel().catch(() => undefined);
    this.#readers.delete(body);
  }

  cancelAll(): void {
    for (const body of [...this.#readers.keys()]) this.cancel(body);
  }
}

/** The page's handlers. */
export function pageHandlers(bodies: Bodies, userFetch: typeof fetch | undefined, signal: AbortSignal): Handlers<PageCalls> {
  return {
    async fetch(url, headers) {
      const response = await (userFetch ?? fetch)(url, { headers, signal });
      const body = bodies.hold(response.body ?? new Blob().stream());
      return { body, status: response.status, headers: [...response.headers] };
    },
    read: (body) => bodies.read(body),
    list: () => pageStore.list(),
    manifest: (name) => pageStore.manifest(name),
    readChunk: (name, file, chunk) => pageStore.read(name, file, chunk),
    write: (manifest, chunk) => pageStore.write(manifest, chunk),
    delete: (name) => pageStore.delete(name),
  };
}
