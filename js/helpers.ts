// Threads that compute some rows of the CPU engine's products: both ends of the port between the engine and each of them.

import { importCpuEngine } from './engine.js';
import { asQwen3Error, Qwen3Error, toPlain, type PlainError } from './errors.js';
import { answerOn, canShare, SharedChannel, type Question } from './shared-channel.js';

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

/** Rows to keep (see `Helper.take` of the engine), a product to compute, or memory on which products will be asked for until it is released. */
type Request =
  | { rows: [number: number, dtype: string, rows: number, columns: number, bytes: Uint8Array] }
  | { wanted: Uint32Array; x: Float32Array }
  | { memory: SharedArrayBuffer };
/** `ready` comes once, when the thread has its engine or never will. */
type Answer = Float32Array<ArrayBuffer> | PlainError | 'ready';

/** Serves an engine on the port for as long as this thread lives. A failure is the answer to this and all later products. */
export function help(port: MessagePort): void {
  let failure: PlainError | undefined;
  const engine = importCpuEngine().then(({ Helper }) => new Helper()).catch((error: unknown) => void (failure = toPlain(error)));
  const byMessage: Question = {
    begin: () => true,
    answer(products) {
      const copy = products.slice();
      port.postMessage(copy, [copy.buffer]);
    },
  };
  const answer = async (request: Request): Promise<void> => {
    const helper = await engine;
    const multiply = (wanted: Uint32Array, x: Float32Array, question: Question): void => {
      if (failure !== undefined || helper === undefined) throw asQwen3Error(failure);
      helper.multiply(wanted, x, question);
    };
    try {
      if ('rows' in request) return helper?.take(...request.rows);
      if ('memory' in request) return answerOn(request.memory, multiply);
      multiply(request.wanted, request.x, byMessage);
    } catch (error) {
      failure ??= toPlain(error);
      if (!('rows' in request)) port.postMessage(failure);
    }
  };
  port.onmessage = ({ data }: MessageEvent<Request>) => void answer(data);
  void engine.then(() => port.postMessage('ready' satisfies Answer));
}

interface Thread {
  worker: Worker;
  port: MessagePort;
  /** What waits for products, in the order they were asked for. */
  waiting: { resolve(products: Float32Array): void; reject(error: unknown): void }[];
  /** A thread cannot start while the one that started it blocks, so that nothing is asked of it on shared memory before. */
  ready: boolean;
  /** None before the first product, nor where memory cannot be shared. */
  channel?: SharedChannel;
}

/** Helper threads. The engine does without from the first failure on. */
export class Helpers {
  readonly #threads: Thread[] = [];
  readonly #log: (message: string, data: object) => void;
  readonly #shares = canShare();
  /** Of each matrix. */
  readonly #columns: number[] = [];

  /** Starts so many, fewer where the browser refuses; `start` starts a thread and has it {@link help} on a port. */
  constructor(count: number, start: (port: MessagePort) => Worker, log: (message: string, data: object) => void) {
    this.#log = log;
    try {
      while (this.#threads.length < count) this.#add(start);
    } catch {
      // A browser that refuses one will not give the next.
    }
  }

  #add(start: (port: MessagePort) => Worker): void {
    const { port1: port, port2 } = new MessageChannel();
    const thread: Thread = { worker: start(port2), port, waiting: [], ready: false };
    thread.worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.#fail(new Qwen3Error('internal', `a helper thread has crashed: ${event.message}`));
    });
    port.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data === 'ready') return void (thread.ready = true);
      const waiting = thread.waiting.shift();
      if (data instanceof Float32Array) return waiting?.resolve(data);
      const error = asQwen3Error(data);
      waiting?.reject(error);
      this.#fail(error);
    };
    this.#threads.push(thread);
  }

  /** How many there are. */
  get count(): number {
    return this.#threads.length;
  }

  /** Gives one of them rows of a matrix. What fails there shows in its next product. */
  take(helper: number, number: number, dtype: string, rows: number, columns: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#columns[number] = columns;
    this.#threads[helper]?.port.postMessage({ rows: [number, dtype, rows, columns, bytes] } satisfies Request, [bytes.buffer]);
  }

  /**
   * Asks one of them for products with rows that it holds, in so many pieces. Nothing is returned where {@link answer} will wait for them;
   * what is given is valid during the call.
   */
  multiply(helper: number, wanted: Uint32Array, x: Float32Array, pieces: number): Promise<Float32Array> | undefined {
    const thread = this.#threads[helper];
    if (thread?.ready === true && this.#shares) {
      this.#channelOf(thread, wanted, x).ask(wanted, x, pieces);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      if (thread === undefined) return reject(ENDED);
      thread.waiting.push({ resolve, reject });
      const request = { wanted: wanted.slice(), x: x.slice() };
      thread.port.postMessage(request satisfies Request, [request.wanted.buffer, request.x.buffer]);
    });
  }

  /** Whether one of them has not begun the first piece that is left, and now never will. */
  takeBack(helper: number): boolean {
    return this.#threads[helper]?.channel?.takeBack() ?? false;
  }

  /** Waits for the products last asked for; they are there until the next are. None if the thread is lost, or says by message why not. */
  answer(helper: number): Float32Array | undefined {
    try {
      return this.#threads[helper]?.channel?.answer();
    } catch (error) {
      this.#fail(asQwen3Error(error));
    }
  }

  /** One with enough room. */
  #channelOf(thread: Thread, wanted: Uint32Array, x: Float32Array): SharedChannel {
    const tokens = x.length / (this.#columns[wanted[0]!] ?? x.length);
    const rows = wanted.filter((_, index) => index % 2 === 1).reduce((sum, count) => sum + count, 0);
    const words = Math.max(wanted.length + x.length, tokens * rows);
    if (thread.channel === undefined || thread.channel.words < words) {
      thread.channel?.release();
      thread.channel = new SharedChannel(words);
      thread.port.postMessage({ memory: thread.channel.memory } satisfies Request);
    }
    return thread.channel;
  }

  #fail(error: Qwen3Error): void {
    if (this.#threads.length > 0) this.#log('the engine goes on without its helper threads', toPlain(error));
    this.end();
  }

  /** The threads end. */
  end(): void {
    for (const { worker, port, waiting } of this.#threads.splice(0)) {
      worker.terminate();
      port.close();
      for (const { reject } of waiting) reject(ENDED);
    }
  }
}

const ENDED = new Qwen3Error('internal', 'the helper threads have ended');
