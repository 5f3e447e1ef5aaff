// Threads that compute some rows of the CPU engine's products, as the engine sees them.

import { Qwen3Error, toPlain } from './errors.js';
import { Channel, type HostCalls } from './protocol.js';

type HelperChannel = Channel<Pick<HostCalls, 'takeRows' | 'multiplyRows'>, Record<never, never>, never, never>;

/** Fewer bytes are multiplied faster than a message travels. */
const LEAST_BYTES = 64 * 2 ** 20;
/** Bytes that helpers may hold together, beside the engine's own. */
const MOST_BYTES = 512 * 2 ** 20;
/** A memory's bandwidth is seldom more than so many threads can use. */
const MOST_THREADS = 4;

/** How many threads the engine should have, itself among them, for weights of so many bytes. */
export function threadsFor(bytes: number): number {
  let threads = bytes < LEAST_BYTES ? 1 : Math.min(MOST_THREADS, navigator.hardwareConcurrency);
  while (bytes * (threads - 1) / threads > MOST_BYTES) threads--;
  return threads;
}

/** Helper threads. The engine does without from the first failure on. */
export class Helpers {
  readonly #threads: { thread: Worker; channel: HelperChannel }[] = [];
  readonly #log: (message: string, data: object) => void;

  /** Starts so many. */
  constructor(count: number, start: () => Worker, log: (message: string, data: object) => void) {
    this.#log = log;
    while (this.#threads.length < count) {
      const thread = start();
      const channel: HelperChannel = new Channel(thread, {}, () => undefined);
      thread.addEventListener('error', (event) => {
        event.preventDefault();
        this.#fail(new Qwen3Error('internal', `a helper thread has crashed: ${event.message}`));
      });
      this.#threads.push({ thread, channel });
    }
  }

  /** How many there are. */
  get count(): number {
    return this.#threads.length;
  }

  /** Gives one of them rows of a matrix. What fails there shows in its next product. */
  take(helper: number, number: number, dtype: string, rows: number, columns: number, bytes: Uint8Array): void {
    this.#threads[helper]?.channel.call('takeRows', number, dtype, rows, columns, bytes).catch((error: unknown) => this.#fail(error));
  }

  /** Products with rows that one of them holds. */
  async multiply(helper: number, wanted: Uint32Array, x: Float32Array): Promise<Float32Array> {
    const { channel } = this.#threads[helper] ?? {};
    if (channel === undefined) throw new Qwen3Error('internal', 'the helper threads have ended');
    try {
      return await channel.call('multiplyRows', wanted, x);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #fail(error: unknown): void {
    if (this.#threads.length > 0) this.#log('the engine goes on without its helper threads', toPlain(error));
    this.end();
  }

  /** The threads end. */
  end(): void {
    for (const { thread, channel } of this.#threads.splice(0)) {
      thread.terminate();
      channel.close(new Qwen3Error('internal', 'a helper thread has ended'));
    }
  }
}
