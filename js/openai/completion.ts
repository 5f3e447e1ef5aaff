// POST …/completions: raw text in, its continuation out, whole or as a stream.

import type { ChatModel, ChatResult, ReplyEvent } from '../index.js';
import { delivery, samplingOptions } from './options.js';
import { refuse } from './refusal.js';
import { finishReason, header, seeded, usage, usageOf } from './response.js';
import { streamed } from './stream.js';

/** What OpenAI takes where nothing is said. */
const MAX_TOKENS = 16;

/** Answers a request for a completion: `n` choices for each prompt. */
export async function completion(model: ChatModel, body: Record<string, unknown>, signal: AbortSignal): Promise<Response> {
  const { n, stream, includeUsage } = delivery(body);
  const { prompt, logprobs } = body;
  const prompts: unknown[] = Array.isArray(prompt) ? prompt : [prompt];
  if (prompts.length === 0 || !prompts.every((text) => typeof text === 'string')) refuse('prompt', 'a string or an array of strings', prompt);
  const wanted = typeof logprobs === 'number' ? { logprobs: true, topLogprobs: logprobs } : {};
  const options = { maxTokens: MAX_TOKENS, ...samplingOptions(body), ...wanted };
  const head = header(model, 'cmpl');
  const replies = prompts.flatMap((text) => Array.from({ length: n }, (_, index) => model.complete(text, { ...seeded(options, index), signal })));
  const choice = (index: number, text: string, end: object = {}): object => ({ index, text, logprobs: null, finish_reason: null, ...end });
  if (!stream) {
    const results = await Promise.all(replies);
    signal.throwIfAborted();
    const choices = results.map((result, index) => choice(index, result.content, { logprobs: told(result), finish_reason: finishReason(result) }));
    return Response.json({ ...head, object: 'text_completion', choices, usage: usage(results, n) });
  }
  const chunks = (event: ReplyEvent, index: number): object[] => {
    const chunk = (text: string, end?: object): object[] => [{ ...head, object: 'text_completion', choices: [choice(index, text, end)] }];
    if (event.type === 'content') return chunk(event.text);
    return event.type === 'done' ? chunk('', { logprobs: told(event.result), finish_reason: finishReason(event.result) }) : [];
  };
  return streamed(replies, chunks, (results) => usageOf(head, 'text_completion', includeUsage, results, n), signal);
}

function told({ logprobs: tokens }: ChatResult): object | null {
  if (tokens === undefined) return null;
  let offset = 0;
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ topLogprobs }) => Object.fromEntries(topLogprobs.map(({ token, logprob }) => [token, logprob]))),
    text_offset: tokens.map(({ token }) => (offset += token.length) - token.length),
  };
}
