// OpenAI's protocol on a model of this package: which address does what.

import type { ChatModel } from '../types.js';
import { chatCompletion } from './chat.js';
import { completion } from './completion.js';
import { errorResponse } from './errors.js';
import { Refusal } from './refusal.js';

/** The response of an OpenAI-compatible server that has this one model. Rejects only where `fetch` would: on abort. */
export async function answer(model: ChatModel, request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  try {
    request.signal.throwIfAborted();
    if (request.method === 'POST' && pathname.endsWith('/chat/completions')) return await chatCompletion(model, await body(request), request.signal);
    if (request.method === 'POST' && pathname.endsWith('/completions')) return await completion(model, await body(request), request.signal);
    const [, id] = /\/models(?:\/(.+))?$/.exec(pathname) ?? ['', undefined];
    if (request.method === 'GET' && /\/models(\/|$)/.test(pathname)) return models(model, id);
    throw new Refusal(404, `there is no ${request.method} ${pathname} here`, { code: 'unknown_url' });
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    return errorResponse(error);
  }
}

async function body(request: Request): Promise<Record<string, unknown>> {
  const value: unknown = await request.json().catch(() => undefined);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Refusal(400, 'the body must be a JSON object');
  return { ...value };
}

function models({ info }: ChatModel, id: string | undefined): Response {
  const model = {
    id: info.name, object: 'model', created: 0, owned_by: 'qwen3-web',
    ...(info.contextLength === undefined ? {} : { max_model_len: info.contextLength }),
  };
  if (id === undefined) return Response.json({ object: 'list', data: [model] });
  if (decodeURIComponent(id) === info.name) return Response.json(model);
  throw new Refusal(404, `the model ${decodeURIComponent(id)} is not here, ${info.name} is`, { code: 'model_not_found' });
}
