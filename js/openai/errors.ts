// Failures in OpenAI's shape: a status, and an object that says what is wrong with which parameter.

import { Qwen3Error, type ErrorCode } from '../index.js';
import { optionNames } from './options.js';
import { Refusal } from './refusal.js';

/** Of those codes that a request can end with; the others are 500. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  'invalid-argument': 400, 'context-overflow': 400, busy: 429, 'remote-error': 502, 'out-of-memory': 503, 'device-lost': 503,
};

interface OpenAIError {
  status: number;
  error: { message: string; type: string; param: string | null; code: string | null };
}

function translated(thrown: unknown): OpenAIError {
  if (thrown instanceof Refusal) {
    const { status, message, param = null, code = null } = thrown;
    return { status, error: { message, type: 'invalid_request_error', param, code } };
  }
  if (!(thrown instanceof Qwen3Error)) return { status: 500, error: { message: String(thrown), type: 'server_error', param: null, code: 'internal' } };
  const status = STATUS[thrown.code] ?? 500;
  const code = thrown.code === 'context-overflow' ? 'context_length_exceeded' : thrown.code;
  // The engine begins with the option's name, which here is another one.
  const named = /^(\w+)(.*)$/s.exec(thrown.message);
  const param = optionNames.get(named?.[1] ?? '') ?? (named?.[1] === 'messages' ? 'messages' : null);
  const message = param === null ? thrown.message : `${param}${named?.[2] ?? ''}`;
  return { status, error: { message, type: status === 400 ? 'invalid_request_error' : 'server_error', param, code } };
}

/** The error as the body of an event or a response. */
export function errorBody(thrown: unknown): { error: OpenAIError['error'] } {
  return { error: translated(thrown).error };
}

/** The error as a response, which says whether trying again may help. */
export function errorResponse(thrown: unknown): Response {
  const { status, error } = translated(thrown);
  const again = thrown instanceof Qwen3Error && thrown.recoverable && status !== 400;
  return Response.json({ error }, { status, headers: { 'x-should-retry': String(again) } });
}
