// When to try again: what is worth another try, and how long to wait before it.

import { aborted, type Qwen3Error } from '../errors.js';

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 15_000;

/** A failure that another try of the same address may mend. */
export class Transient extends Error {
  readonly failure: Qwen3Error;
  /** The server has said when to come back. */
  readonly afterMs: number | undefined;

  constructor(failure: Qwen3Error, afterMs?: number) {
    super(failure.message);
    this.failure = failure;
    this.afterMs = afterMs;
  }
}

/** Exponential with jitter, so that many clients of a server that comes back do not all come at once. */
export function backOffMs(tries: number): number {
  const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (tries - 1));
  return longest * (0.5 + Math.random() / 2);
}

/** Waits; no longer than until the network is back, where the browser tells. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      globalThis.removeEventListener?.('online', go);
      finish();
    };
    const stop = (): void => settle(() => reject(aborted(signal)));
    const go = (): void => settle(resolve);
    const timer = setTimeout(go, ms);
    signal.addEventListener('abort', stop, { once: true });
    globalThis.addEventListener?.('online', go, { once: true });
    if (signal.aborted) stop();
  });
}
