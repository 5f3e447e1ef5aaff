// Qwen3Error: every failure of the package as one class with a stable code, and its plain form for messages between threads.

import type { ChatResult } from './types.js';

/** The stable name of a kind of failure. */
export type ErrorCode =
  | 'webgpu-unavailable' | 'self-test-failed' | 'device-lost' | 'out-of-memory'
  | 'download-failed' | 'integrity-mismatch' | 'quota-exceeded' | 'storage-unavailable'
  | 'malformed-file' | 'unsupported-model' | 'invalid-argument' | 'context-overflow'
  | 'busy' | 'aborted' | 'remote-error' | 'internal';

/** Whether the same call can succeed later without a change to it; the keys are also the list of all codes. */
const RECOVERABLE: Readonly<Record<ErrorCode, boolean>> = {
  'webgpu-unavailable': false, 'self-test-failed': false, 'device-lost': true, 'out-of-memory': true,
  'download-failed': true, 'integrity-mismatch': true, 'quota-exceeded': true, 'storage-unavailable': false,
  'malformed-file': false, 'unsupported-model': false, 'invalid-argument': false, 'context-overflow': true,
  busy: true, aborted: true, 'remote-error': true, internal: false,
};

/** What a {@link Qwen3Error} may carry besides its code and message. */
export interface ErrorDetails {
  /** What the caller can do; empty if there is nothing to say. */
  hint?: string;
  /** Overrides what the code implies. */
  recoverable?: boolean;
  /** What was caught underneath. */
  cause?: unknown;
  /** What there was of a server's reply when it broke off. */
  partial?: ChatResult;
}

/** A failure: `code` to match on, `message` (what was expected, what came), `hint` (what to do). */
export class Qwen3Error extends Error {
  override readonly name = 'Qwen3Error';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly recoverable: boolean;
  /** What there was of a server's reply when it broke off. */
  readonly partial?: ChatResult;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint ?? '';
    this.recoverable = details.recoverable ?? RECOVERABLE[code];
    if (details.partial !== undefined) this.partial = details.partial;
  }
}

/** A {@link Qwen3Error} as plain data, as it crosses threads and as the wasm engine throws it. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  hint: string;
  recoverable: boolean;
  /** The text of the cause, which itself may not be cloneable. */
  cause?: string;
}

function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(RECOVERABLE, value);
}

function describe(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

/** Whatever was thrown as a {@link Qwen3Error}; what is not one of ours, nor the engine's, becomes `internal`. */
export function asQwen3Error(thrown: unknown): Qwen3Error {
  if (thrown instanceof Qwen3Error) return thrown;
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && isCode(thrown.code)) {
    const details: ErrorDetails = {};
    if ('hint' in thrown && typeof thrown.hint === 'string') details.hint = thrown.hint;
    if ('recoverable' in thrown && typeof thrown.recoverable === 'boolean') details.recoverable = thrown.recoverable;
    if ('cause' in thrown && thrown.cause !== undefined) details.cause = thrown.cause;
    return new Qwen3Error(thrown.code, 'message' in thrown ? String(thrown.message) : thrown.code, details);
  }
  return new Qwen3Error('internal', describe(thrown), {
    cause: thrown,
    hint: 'this is a defect of qwen3-web: unload the model and load it again, and report it with the output of diagnose()',
  });
}

/** The plain form of whatever was thrown. */
export function toPlain(thrown: unknown): PlainError {
  const { code, message, hint, recoverable, cause } = asQwen3Error(thrown);
  return { code, message, hint, recoverable, ...(cause === undefined ? {} : { cause: describe(cause) }) };
}

/** The error of an {@link AbortSignal} that fired. */
export function aborted(signal: AbortSignal | undefined): Qwen3Error {
  return new Qwen3Error('aborted', 'the caller gave up', { cause: signal?.reason });
}
