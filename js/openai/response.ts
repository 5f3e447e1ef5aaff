// What all of OpenAI's responses have: a head, a usage, a reason why each choice ended.

import type { ChatModel, ChatOptions, ChatResult } from '../index.js';

/** The fields that every chunk of a response repeats. */
export function header({ info }: ChatModel, prefix: string): object {
  return { id: `${prefix}-${crypto.randomUUID().replaceAll('-', '')}`, created: Math.floor(Date.now() / 1000), model: info.name, system_fingerprint: null };
}

/** The options of one of several choices: with a seed they still differ, and can still be repeated. */
export function seeded(options: ChatOptions, index: number): ChatOptions {
  return typeof options.seed === 'number' ? { ...options, seed: options.seed + index } : options;
}

/** `stop` also for a reply that was cut off, which has no word of its own. */
export function finishReason({ finishReason: reason }: ChatResult): 'stop' | 'length' | 'tool_calls' {
  return reason === 'toolCalls' ? 'tool_calls' : reason === 'length' ? 'length' : 'stop';
}

/** Tokens of all choices; the prompt that `n` of them share counts once. */
export function usage(results: ChatResult[], n: number): object {
  const sum = (count: (usage: ChatResult['usage']) => number): number => results.reduce((total, result) => total + count(result.usage), 0);
  const [prompt, reply] = [sum(({ promptTokens }) => promptTokens) / n, sum(({ completionTokens }) => completionTokens)];
  return {
    prompt_tokens: prompt, completion_tokens: reply, total_tokens: prompt + reply,
    prompt_tokens_details: { cached_tokens: sum(({ cachedTokens }) => cachedTokens) / n },
    completion_tokens_details: { reasoning_tokens: sum(({ thinkingTokens }) => thinkingTokens) },
  };
}

/** The chunk that ends a stream with its usage, nothing if that is not wanted. */
export function usageOf(head: object, object: string, wanted: boolean, results: ChatResult[], n: number): object | undefined {
  return wanted ? { ...head, object, choices: [], usage: usage(results, n) } : undefined;
}
