// Threads that compute beside the CPU engine, in pages that are cross-origin isolated: both sides. Every thread runs the engine's own code
// on the engine's own memory, and takes the next piece of its work that nobody has begun.

import { asQwen3Error, Qwen3Error, toPlain, type PlainError } from './errors.js';

/** Words of the state that all threads share: how often there was work, the pieces that nobody has begun, where the work is, who is at it. */
const WORKS = 0, LEFT = 1, WORK = 2, AT_IT = 3, WORDS = 4;
/** Added to the number of those at it when one of them has failed: nobody knows what it leaves behind. */
const LOST = -(2 ** 16);
/** For so long a thread looks again and again before it sleeps: being woken takes longer than most waits, and more than this is never wasted. */
const SPIN_MS = 0.25;
/** After so many waits in a row in which that was in vain it sleeps at once, so many times. */
const VAIN = 4, SLEEPS = 64;
/** A thread that is at one piece for so long, and for so long again, is gone: the first time the machine may have been asleep. */
const LIMIT_MS = 10_000;
/** Models with fewer bytes are computed faster than threads start. */
const LEAST_BYTES = 64 * 2 ** 20;
/** A memory's bandwidth is seldom more than so many threads can use. */
const MOST_THREADS = 4;

/** A thread's place: what all have in common, its number, and where its stack ends. */
interface Place {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  state: Int32Array;
  thread: number;
  stackEnd: number;
}

/** What an instance of the engine exports for its thread. */
interface Exports {
  qwen3_piece(work: number, thread: number, piece: number): void;
  __stack_pointer: WebAssembly.Global<'i32'>;
}

/** The engine's code and memory, and its own instance. */
export interface Shared {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  exports: Exports;
}

/** Whether this thread may have others on its memory: not a page itself, which must not wait, nor where pages are not isolated. */
export function canShare(): boolean {
  if (!globalThis.crossOriginIsolated) return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}

/** How many threads should compute, for weights of so many bytes. */
export function threadsFor(bytes: number): number {
  return bytes < LEAST_BYTES ? 1 : Math.min(MOST_THREADS, navigator.hardwareConcurrency);
}

/** How a thread waits: at first it looks again and again, unless that has been in vain lately. Then it may hold the very processor that it waits for. */
class Waiting {
  /** Waits in a row whose looking was in vain, and waits asleep since. */
  #vain = 0;
  #asleep = 0;

  /** Waits for a word to be another than `value`; false when the time is over. */
  changes(state: Int32Array, word: number, value: number, limitMs = Infinity): boolean {
    if (this.#asleep === SLEEPS) this.#vain = this.#asleep = 0;
    if (this.#vain === VAIN) {
      this.#asleep++;
    } else {
      this.#vain++;
      const sleepAt = performance.now() + SPIN_MS;
      while (performance.now() < sleepAt) {
        if (Atomics.load(state, word) === value) continue;
        this.#vain = 0;
        return true;
      }
    }
    return Atomics.load(state, word) !== value || Atomics.wait(state, word, value, limitMs) !== 'timed-out';
  }
}

/** Computes pieces until none is left that nobody has begun. */
function takePart(state: Int32Array, thread: number, { qwen3_piece }: Exports): void {
  for (let left = Atomics.sub(state, LEFT, 1); left > 0; left = Atomics.sub(state, LEFT, 1)) {
    qwen3_piece(Atomics.load(state, WORK), thread, left - 1);
  }
}

/** A thread's whole life: it takes part in all work there is, until it fails. The port is told of that. */
export function work(port: MessagePort): void {
  port.onmessage = ({ data: { module, memory, state, thread, stackEnd } }: MessageEvent<Place>) => {
    try {
      const exports = instantiate(module, memory);
      exports.__stack_pointer.value = stackEnd;
      const waiting = new Waiting();
      for (let works = 0; ; ) {
        waiting.changes(state, WORKS, works);
        works = Atomics.load(state, WORKS);
        Atomics.add(state, AT_IT, 1);
        leave(state, () => takePart(state, thread, exports));
      }
    } catch (error) {
      port.postMessage(toPlain(error));
    }
  };
}

/** Does what a thread is at, after which it is not. */
function leave(state: Int32Array, part: () => void): void {
  let change = LOST - 1;
  try {
    part();
    change = -1;
  } finally {
    const others = Atomics.add(state, AT_IT, change) + change;
    if (others % LOST === 0) Atomics.notify(state, AT_IT);
  }
}

/** The engine's code on memory that the engine has set up. Nothing that it imports is there: pieces call none of it. */
function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Exports {
  const imports: WebAssembly.Imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = kind === 'memory' ? memory : () => {
      throw new Qwen3Error('internal', `a thread has called ${name}`);
    };
  }
  return new WebAssembly.Instance(module, imports).exports as unknown as Exports;
}

/** The engine's thread and those beside it. From the first that fails on the engine does without them. */
export class Threads {
  /** All of them, the engine's included. */
  readonly count: number;
  readonly #engine: Shared;
  readonly #startThread: (port: MessagePort) => Worker;
  readonly #log: (message: string, data: object) => void;
  readonly #state = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  readonly #others: Worker[] = [];
  readonly #waiting = new Waiting();
  /** Whether one has failed, who will say why. */
  #failed = false;

  /** None beside the engine's has started yet; `startThread` starts one that {@link work}s for a port. */
  constructor(count: number, engine: Shared, startThread: (port: MessagePort) => Worker, log: (message: string, data: object) => void) {
    this.count = count;
    this.#engine = engine;
    this.#startThread = startThread;
    this.#log = log;
  }

  /** Starts the next, if the browser has it, with a stack that ends there. Until it is ready, the others do its work. */
  start(stackEnd: number): void {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }: MessageEvent<PlainError>) => this.#fail(asQwen3Error(data));
    try {
      const worker = this.#startThread(port2);
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        this.#fail(new Qwen3Error('internal', `a thread has crashed: ${event.message}`));
      });
      const { module, memory } = this.#engine;
      this.#others.push(worker);
      port1.postMessage({ module, memory, state: this.#state, thread: this.#others.length, stackEnd } satisfies Place);
    } catch (error) {
      this.#log('the browser starts no more threads', toPlain(error));
    }
  }

  /** Has the work at that address done, in so many pieces. */
  run(address: number, pieces: number): void {
    if (this.#failed || this.#others.length === 0) return this.#runAlone(address, pieces);
    const state = this.#state;
    Atomics.store(state, WORK, address);
    Atomics.store(state, LEFT, pieces);
    Atomics.add(state, WORKS, 1);
    Atomics.notify(state, WORKS);
    takePart(state, 0, this.#engine.exports);
    let patience = 2;
    let atIt = Atomics.load(state, AT_IT);
    for (; atIt % LOST !== 0; atIt = Atomics.load(state, AT_IT)) {
      // It may still write where it was told to: this memory cannot be used any more.
      if (!this.#waiting.changes(state, AT_IT, atIt, LIMIT_MS) && --patience === 0) throw new WebAssembly.RuntimeError('a thread does not finish its work');
    }
    if (atIt === 0) return;
    this.#failed = true;
    // Nobody knows which pieces it has left undone.
    this.#runAlone(address, pieces);
  }

  #runAlone(address: number, pieces: number): void {
    for (let piece = 0; piece < pieces; piece++) this.#engine.exports.qwen3_piece(address, 0, piece);
  }

  #fail(error: Qwen3Error): void {
    if (this.#others.length > 0) this.#log('the engine goes on without its other threads', toPlain(error));
    this.end();
  }

  /** The others end. */
  end(): void {
    for (const worker of this.#others.splice(0)) worker.terminate();
  }
}
