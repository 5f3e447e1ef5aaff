// Replies of a server: its stream of chunks to the events of this package's replies.

import { EventSourceParserStream } from 'eventsource-parser/stream';
import { Qwen3Error, type ChatOptions, type ConnectOptions, type Message, type ReplyEvent } from '../index.js';
import { Chunks } from './chunks.js';
import { dropped, refused, unreachable } from './failures.js';
import { message, requestBody, templateOptions, type Prompt } from './request.js';

/** How a reply is steered, and where its events go. */
interface Steering {
  signal: AbortSignal;
  /** Resolves when the thinking is to end. */
  skipped: Promise<void>;
  emit(event: ReplyEvent): void;
}

/** Asks for a reply and tells its events; `done` is the last of them. */
export async function reply(server: ConnectOptions, prompt: Prompt, options: ChatOptions, { signal, skipped, emit }: Steering): Promise<void> {
  const start = performance.now();
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  const chunks = new Chunks(start, seed, emit);
  if (options.temperature === 0 && options.enableThinking !== false && 'messages' in prompt) {
    emit({ type: 'notice', code: 'greedy-thinking', message: 'temperature 0 in thinking mode: Qwen3 may repeat itself without end' });
  }
  try {
    const response = await fitted(server, prompt, options, emit, (fitting) => requestBody(server.model, fitting, options, seed), signal);
    void skipped.then(() => skipThinking(server, chunks, emit));
    await read(response, chunks);
  } catch (error) {
    if (signal.aborted) return emit({ type: 'done', result: chunks.finish('abort') });
    if (error instanceof Qwen3Error) throw error;
    if (!chunks.ended) throw dropped(error, chunks.finish('abort'));
  }
  if (!chunks.ended) throw dropped(undefined, chunks.finish('abort'));
  emit({ type: 'done', result: chunks.finish() });
}

/** The response to a prompt, with the oldest turns left out until it fits, where that is wanted. */
async function fitted(
  server: ConnectOptions, prompt: Prompt, options: ChatOptions, emit: Steering['emit'], body: (prompt: Prompt) => object, signal: AbortSignal,
): Promise<Response> {
  if ('text' in prompt) return post(server, 'completions', body(prompt), signal);
  for (let messages = prompt.messages; ; ) {
    try {
      const response = await post(server, 'chat/completions', body({ messages }), signal);
      const left = prompt.messages.length - messages.length;
      if (left > 0) {
        const first = prompt.messages[0]?.role === 'system' ? 1 : 0;
        const dropped = Array.from({ length: left }, (_, index) => first + index);
        emit({ type: 'notice', code: 'dropped-turns', message: `the ${left} oldest messages were left out to fit the server's context`, dropped });
      }
      return response;
    } catch (error) {
      const shorter = withoutOldestTurn(messages);
      const overflow = error instanceof Qwen3Error && error.code === 'context-overflow' && options.onContextOverflow === 'dropOldestTurns';
      if (!overflow || shorter === undefined) throw error;
      messages = shorter;
    }
  }
}

/** The system message, and all from the second user message on. */
function withoutOldestTurn(messages: Message[]): Message[] | undefined {
  const first = messages[0]?.role === 'system' ? 1 : 0;
  const next = messages.findIndex(({ role }, index) => index > first && role === 'user');
  return next < 0 ? undefined : [...messages.slice(0, first), ...messages.slice(next)];
}

async function read(response: Response, chunks: Chunks): Promise<void> {
  if (response.body === null) return;
  if (response.headers.get('content-type')?.startsWith('application/json') === true) return chunks.take(await response.text());
  // Not every browser can iterate a stream.
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
  try {
    for (let next = await events.read(); !next.done && next.value.data !== '[DONE]'; next = await events.read()) chunks.take(next.value.data);
  } finally {
    events.cancel().catch(() => undefined);
  }
}

/** llama.cpp alone can be told to end a thinking that has begun. */
async function skipThinking(server: ConnectOptions, chunks: Chunks, emit: (event: ReplyEvent) => void): Promise<void> {
  const told = await post(server, 'chat/completions/control', { id: chunks.id, action: 'reasoning_end' }).catch(() => undefined);
  if (told === undefined) emit({ type: 'notice', code: 'skip-thinking-unsupported', message: 'this server cannot end a thinking that has begun' });
}

/** Counts with what the servers have: vLLM counts a conversation, llama.cpp renders it and counts the text. */
export async function countTokens(server: ConnectOptions, messages: Message[], options: ChatOptions): Promise<number> {
  const conversation = { messages: messages.map(message), ...templateOptions(options) };
  const counted = await ask<{ count?: number }>(server, '../tokenize', { model: server.model, ...conversation });
  if (typeof counted?.count === 'number') return counted.count;
  const rendered = await ask<{ prompt?: string }>(server, '../apply-template', conversation);
  const tokens = rendered?.prompt && await ask<{ tokens?: unknown[] }>(server, '../tokenize', { content: rendered.prompt, add_special: false, parse_special: true });
  if (tokens && Array.isArray(tokens.tokens)) return tokens.tokens.length;
  throw new Qwen3Error('remote-error', 'this server cannot count the tokens of a conversation', { recoverable: false, hint: 'vLLM and llama.cpp can' });
}

/** The answer to a question that some servers do not understand. */
async function ask<T>(server: ConnectOptions, path: string, body: object): Promise<T | undefined> {
  try {
    return await (await post(server, path, body)).json() as T;
  } catch (error) {
    if (error instanceof Qwen3Error && !error.recoverable) return undefined;
    throw error;
  }
}

async function post({ baseURL, apiKey, headers = {}, fetch: own = fetch }: ConnectOptions, path: string, body: object, signal: AbortSignal | null = null): Promise<Response> {
  const url = new URL(path, new URL(`${String(baseURL).replace(/\/+$/, '')}/`, globalThis.location?.href)).href;
  const authorization = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` };
  const init: RequestInit = { method: 'POST', signal, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...authorization, ...headers } };
  const response = await own(url, init).catch((error: unknown) => {
    throw signal?.aborted === true ? error : unreachable(url, error);
  });
  if (!response.ok) throw await refused(response);
  return response;
}
