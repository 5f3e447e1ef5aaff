// What can go wrong between here and a server, as typed errors.

import { Qwen3Error, type ChatResult } from '../index.js';

const CONTEXT = /context (size|length|window)|maximum (context|model) len|exceed_context_size|longer than the model|too long/i;

/** The server answered with a status that is no success. */
export async function refused(response: Response): Promise<Qwen3Error> {
  const text = await response.text().catch(() => '');
  const { status } = response;
  const said = messageOf(text);
  if (status === 400 && CONTEXT.test(text)) return new Qwen3Error('context-overflow', `the conversation does not fit the server's context: ${said}`, { hint: 'shorten it, or start the server with a longer context' });
  const wait = response.headers.get('retry-after');
  const hint = status === 429 ? `the server is busy: try again ${wait === null ? 'later' : `in ${wait} s`}`
    : status === 401 || status === 403 ? 'check apiKey and headers'
      : status === 404 ? 'check baseURL (it usually ends with /v1) and the name of the model' : '';
  return new Qwen3Error('remote-error', `the server answered with status ${status}: ${said}`, { hint, recoverable: status === 408 || status === 429 || status >= 500 });
}

/** The server told of an error within its stream. */
export function failedWithin(error: unknown, partial: ChatResult): Qwen3Error {
  return new Qwen3Error('remote-error', `the server failed while it answered: ${messageOf(JSON.stringify(error))}`, { partial });
}

/** The connection ended before the reply did. */
export function dropped(cause: unknown, partial: ChatResult): Qwen3Error {
  return new Qwen3Error('remote-error', 'the connection ended before the reply did', { cause, partial, hint: 'what came is in the events and in the error\'s `partial`' });
}

/** There was no answer at all. */
export function unreachable(url: string, cause: unknown): Qwen3Error {
  return new Qwen3Error('remote-error', `no answer from ${url}: ${String(cause)}`, { cause, hint: 'is the server running, and does it allow requests from this page (CORS)?' });
}

/** What the server says, from any of the shapes that are in use. */
function messageOf(text: string): string {
  try {
    const { error = undefined, message = undefined, detail = undefined } = JSON.parse(text) as { error?: unknown; message?: unknown; detail?: unknown };
    const inner = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
    const said = inner ?? message ?? detail ?? text;
    return (typeof said === 'string' ? said : JSON.stringify(said)).slice(0, 500);
  } catch {
    return text.slice(0, 500) || 'nothing more';
  }
}
