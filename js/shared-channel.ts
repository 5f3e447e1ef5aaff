// A question to a thread and its answer through shared memory, for pages that are cross-origin isolated: both ends block, and no message
// has to travel. What is asked and answered is a helper's product (helpers.ts).

import { Qwen3Error } from './errors.js';

/** What the first word of the memory says, nothing at first; the end whose turn it is not waits for it to change. */
const ASKED = 1, ANSWERED = 2, FAILED = 3, RELEASED = 4;
/** Where in the header, whose first word is the state, the lengths of what is asked and answered stand, and how many pieces nobody has begun. */
const WANTED = 1, X = 2, PRODUCTS = 3, LEFT = 4;
/** In words: as many as leave what follows on an address that a multiple of eight bytes divides, since browsers else copy it byte by byte. */
const HEADER = 8;
/** For so long an end looks again and again before it sleeps: being woken takes longer than most waits, and more than this is never wasted. */
const SPIN_MS = 0.25;
/** A thread that is silent for so long is gone. */
const LIMIT_MS = 20_000;

/** Products that a helper is asked for. */
export interface Question {
  /** Whether the next piece is the helper's to compute: the engine may have taken back what is left. */
  begin(): boolean;
  /** The products, valid during the call. */
  answer(products: Float32Array): void;
}

/** Whether this thread has shared memory and may wait for it: not in pages themselves, nor where they are not isolated. */
export function canShare(): boolean {
  if (!self.crossOriginIsolated) return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}

/** The state once it is another than `state`, or when the time is over. */
function changed(header: Int32Array, state: number, limitMs = Infinity): number {
  const sleepAt = performance.now() + SPIN_MS;
  while (Atomics.load(header, 0) === state && performance.now() < sleepAt);
  // A late notice of the change before wakes too.
  while (Atomics.load(header, 0) === state && Atomics.wait(header, 0, state, limitMs) !== 'timed-out');
  return Atomics.load(header, 0);
}

/** Whether the caller may have one more piece, of those that nobody has begun. */
function claim(header: Int32Array): boolean {
  return Atomics.sub(header, LEFT, 1) > 0;
}

function say(header: Int32Array, state: number): void {
  Atomics.store(header, 0, state);
  Atomics.notify(header, 0);
}

/** The end that asks. */
export class SharedChannel {
  readonly memory: SharedArrayBuffer;
  readonly #header: Int32Array;

  /** Room for questions and answers of so many words. */
  constructor(words: number) {
    this.memory = new SharedArrayBuffer((HEADER + words) * 4);
    this.#header = new Int32Array(this.memory, 0, HEADER);
  }

  /** Words there is room for. */
  get words(): number {
    return this.memory.byteLength / 4 - HEADER;
  }

  /** Asks; the thread answers while this one goes on. */
  ask(wanted: Uint32Array, x: Float32Array, pieces: number): void {
    new Uint32Array(this.memory, HEADER * 4).set(wanted);
    new Float32Array(this.memory, HEADER * 4).set(x, wanted.length);
    this.#header[WANTED] = wanted.length;
    this.#header[X] = x.length;
    this.#header[LEFT] = pieces;
    say(this.#header, ASKED);
  }

  /** Whether the thread has not begun one more of the pieces and now never will. */
  takeBack(): boolean {
    return claim(this.#header);
  }

  /** Waits for the answer, which is there until the next question; none if the thread could not give it. */
  answer(): Float32Array | undefined {
    const state = changed(this.#header, ASKED, LIMIT_MS);
    if (state === ASKED) throw new Qwen3Error('internal', 'a helper thread does not answer');
    return state === ANSWERED ? new Float32Array(this.memory, HEADER * 4, this.#header[PRODUCTS]) : undefined;
  }

  /** Lets the thread turn to its messages again. */
  release(): void {
    say(this.#header, RELEASED);
  }
}

/** The end that answers, until it is released or has thrown. */
export function answerOn(memory: SharedArrayBuffer, multiply: (wanted: Uint32Array, x: Float32Array, question: Question) => void): void {
  const header = new Int32Array(memory, 0, HEADER);
  const question: Question = {
    begin: () => claim(header),
    answer(products) {
      new Float32Array(memory, HEADER * 4).set(products);
      header[PRODUCTS] = products.length;
    },
  };
  for (;;) {
    const last = Atomics.load(header, 0);
    const state = last === ASKED || last === RELEASED ? last : changed(header, last);
    if (state === RELEASED) return;
    const wanted = header[WANTED]!;
    try {
      multiply(new Uint32Array(memory, HEADER * 4, wanted), new Float32Array(memory, (HEADER + wanted) * 4, header[X]), question);
    } catch (error) {
      say(header, FAILED);
      throw error;
    }
    say(header, ANSWERED);
  }
}
