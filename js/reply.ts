// A reply under way: an async iterable of its events, a promise of its result, and an emitter, all over one event log.

import { asQwen3Error, type Qwen3Error } from './errors.js';
import type { ChatResult, ReplyEvent } from './types.js';

/** What `on` takes: each event of a reply by its type, and `error` for the failure that ends it. */
export type ReplyListeners<Result extends ChatResult = ChatResult> = {
  [E in ReplyEvent<Result> as E['type']]: (event: E) => void;
} & { error: (event: { type: 'error'; error: Qwen3Error }) => void };

/** An event of the log, or the failure that closes it. */
type Entry<Result extends ChatResult> = ReplyEvent<Result> | { type: 'error'; error: Qwen3Error };

interface Listener<Result extends ChatResult> {
  type: string;
  call: (entry: Entry<Result>) => void;
  original: unknown;
  /** The next entry of the log it has not seen. */
  next: number;
}

/** How a {@link Reply} steers the engine. */
export interface ReplyControls {
  abort(): void;
  skipThinking(): void;
}

/**
 * The answer to `chat`, `run` or `complete`. Await it for the result, iterate it for the events, or listen with `on`: the log
 * keeps every event, so an iterator or listener that comes late still sees them all, in order.
 */
export class Reply<Result extends ChatResult = ChatResult> implements AsyncIterable<ReplyEvent<Result>>, PromiseLike<Result> {
  readonly #log: Entry<Result>[] = [];
  readonly #controls: ReplyControls;
  readonly #result: Promise<Result>;
  #listeners: Listener<Result>[] = [];
  #waiting: (() => void)[] = [];
  #resolve!: (result: Result) => void;
  #reject!: (error: Qwen3Error) => void;
  #ended = false;

  constructor(controls: ReplyControls, start: (sink: ReplySink<Result>) => void) {
    this.#controls = controls;
    this.#result = new Promise<Result>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A caller who only listens has no handler on the promise; its failure reaches them as an `error` event.
    this.#result.catch(() => undefined);
    const fail = (error: unknown): void => this.#append({ type: 'error', error: asQwen3Error(error) });
    try {
      start({ event: (event) => this.#append(event), fail });
    } catch (error) {
      fail(error);
    }
  }

  /** Calls `listener` for every event of that type, those already there first. */
  on<T extends keyof ReplyListeners<Result>>(type: T, listener: ReplyListeners<Result>[T]): this {
    // The entry passed on has the type that was asked for, which the compiler cannot follow through the string.
    const call = listener as (entry: Entry<Result>) => void;
    const added: Listener<Result> = { type, call, original: listener, next: 0 };
    this.#listeners.push(added);
    queueMicrotask(() => this.#deliver(added));
    return this;
  }

  /** Ends what `on` began. */
  off<T extends keyof ReplyListeners<Result>>(type: T, listener: ReplyListeners<Result>[T]): this {
    this.#listeners = this.#listeners.filter((l) => l.type !== type || l.original !== listener);
    return this;
  }

  /** Ends the reply; what there is of it stays, with `finishReason: 'abort'`. */
  abort(): void {
    if (!this.#ended) this.#controls.abort();
  }

  /** Closes the thinking now and lets the answer follow; without effect outside thinking. */
  skipThinking(): void {
    if (!this.#ended) this.#controls.skipThinking();
  }

  then<A = Result, B = never>(
    onResult?: ((result: Result) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result.then(onResult, onError);
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<Result | B> {
    return this.#result.catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<Result> {
    return this.#result.finally(onEnd);
  }

  /** Every event from the first on; leaving the loop early does not end the reply. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReplyEvent<Result>, void> {
    for (let next = 0; ; ) {
      const entry = this.#log[next];
      if (entry === undefined) {
        if (this.#ended) return;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        continue;
      }
      if (entry.type === 'error') throw entry.error;
      yield entry;
      next += 1;
    }
  }

  #append(entry: Entry<Result>): void {
    if (this.#ended) return;
    this.#log.push(entry);
    this.#ended = entry.type === 'done' || entry.type === 'error';
    if (entry.type === 'done') this.#resolve(entry.result);
    if (entry.type === 'error') this.#reject(entry.error);
    for (const wake of this.#waiting.splice(0)) wake();
    for (const listener of [...this.#listeners]) this.#deliver(listener);
  }

  #deliver(listener: Listener<Result>): void {
    while (listener.next < this.#log.length && this.#listeners.includes(listener)) {
      const entry = this.#log[listener.next];
      listener.next += 1;
      if (entry === undefined || entry.type !== listener.type) continue;
      try {
        listener.call(entry);
      } catch (error) {
        // The listener's own defect: shown as such, without cutting off the other listeners.
        reportError(error);
      }
    }
  }
}

/** Where a reply's events come in. */
export interface ReplySink<Result extends ChatResult = ChatResult> {
  event(event: ReplyEvent<Result>): void;
  fail(error: unknown): void;
}
