// The chunks of a completion, one by one, to events and in the end to a result.

import type { ChatResult, FinishReason, ReplyEvent, TokenLogprob, ToolCall } from '../index.js';
import { failedWithin } from './failures.js';
import { ReplyText } from './text.js';

interface Logprob {
  token: string;
  id?: number;
  logprob: number;
  top_logprobs?: Logprob[];
}

interface Delta {
  content?: string | null;
  reasoning?: string | null;
  reasoning_content?: string | null;
  tool_calls?: { index?: number; id?: string | null; function?: { name?: string | null; arguments?: string | null } }[] | null;
}

/** As vLLM, SGLang and llama.cpp write it; nothing is there for certain. */
interface Chunk {
  id?: string;
  error?: unknown;
  choices?: {
    delta?: Delta;
    /** Of a server that does not stream. */
    message?: Delta;
    text?: string;
    logprobs?: { content?: Logprob[] | null } | null;
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
    completion_tokens_details?: { reasoning_tokens?: number } | null;
    reasoning_tokens?: number;
  } | null;
  /** llama.cpp's. */
  prompt_progress?: { total: number; cache: number; processed: number };
  timings?: { prompt_per_second?: number; predicted_per_second?: number };
}

const FINISH: Readonly<Record<string, FinishReason>> = { length: 'length', tool_calls: 'toolCalls', function_call: 'toolCalls', abort: 'abort' };

/** One reply in the making. */
export class Chunks {
  /** The server's name for the reply. */
  id = '';
  readonly #emit: (event: ReplyEvent) => void;
  readonly #start: number;
  readonly #seed: number;
  readonly #text: ReplyText;
  readonly #calls: { id: string; name: string; text: string }[] = [];
  readonly #logprobs: NonNullable<ChatResult['logprobs']> = [];
  #whole = 0;
  #usage: Chunk['usage'];
  #timings: Chunk['timings'];
  #finish: string | undefined;
  #firstToken: number | undefined;
  #lastToken = 0;
  /** Chunks with text, which are tokens where a server does not count. */
  #counted = { thinking: 0, content: 0 };

  constructor(start: number, seed: number, emit: (event: ReplyEvent) => void) {
    this.#start = start;
    this.#seed = seed;
    this.#emit = emit;
    this.#text = new ReplyText((type, text) => emit({ type, text }));
  }

  /** The server has said why it ended: the reply is complete. */
  get ended(): boolean {
    return this.#finish !== undefined;
  }

  /** Takes the JSON of a chunk. */
  take(data: string): void {
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error !== undefined && chunk.error !== null) throw failedWithin(chunk.error, this.finish('abort'));
    this.id ||= chunk.id ?? '';
    if (chunk.prompt_progress !== undefined) {
      const { total, cache, processed } = chunk.prompt_progress;
      this.#emit({ type: 'prefill', processed, total, cached: cache });
    }
    this.#usage = chunk.usage ?? this.#usage;
    this.#timings = chunk.timings ?? this.#timings;
    const choice = chunk.choices?.[0];
    if (choice === undefined) return;
    const delta = choice.delta ?? choice.message ?? { content: choice.text ?? null };
    const thought = delta.reasoning ?? delta.reasoning_content ?? '';
    const said = delta.content ?? '';
    if (thought !== '' || said !== '' || (delta.tool_calls ?? []).length > 0) {
      this.#lastToken = performance.now();
      this.#firstToken ??= this.#lastToken;
    }
    if (thought !== '') this.#text.think(thought);
    if (said !== '') this.#text.say(said);
    if (thought !== '' || said !== '') this.#counted[this.#text.isThinking ? 'thinking' : 'content'] += 1;
    if (said !== '') this.#logprobs.push(...(choice.logprobs?.content ?? []).map((token) => ({ ...logprob(token), topLogprobs: (token.top_logprobs ?? []).map(logprob) })));
    for (const part of delta.tool_calls ?? []) this.#takeCall(part);
    this.#finish = choice.finish_reason ?? this.#finish;
  }

  #takeCall({ index = this.#calls.length, id, function: part }: NonNullable<Delta['tool_calls']>[number]): void {
    const call = this.#calls[index] ??= { id: id ?? `call_${index}`, name: '', text: '' };
    call.name += part?.name ?? '';
    call.text += part?.arguments ?? '';
    if (part?.arguments) this.#emit({ type: 'toolCallDelta', index, name: call.name, arguments: part.arguments });
    // A new call says that those before it are whole.
    this.#tellCalls(index);
  }

  #tellCalls(until: number): void {
    for (; this.#whole < until; this.#whole += 1) {
      const call = this.#call(this.#whole);
      if (call !== undefined) this.#emit({ type: 'toolCall', index: this.#whole, ...call });
    }
  }

  #call(index: number): ToolCall | undefined {
    const call = this.#calls[index];
    return call && { id: call.id, name: call.name, arguments: parsed(call.text) };
  }

  /** The result of all that came. */
  finish(cut?: 'abort'): ChatResult {
    this.#text.finish();
    if (cut === undefined) this.#tellCalls(this.#calls.length);
    const { thinking, content } = this.#text;
    const toolCalls = this.#calls.slice(0, this.#whole).flatMap((_, index) => this.#call(index) ?? []);
    const reason = cut ?? FINISH[this.#finish ?? ''] ?? 'stop';
    return {
      thinking, content, toolCalls,
      finishReason: reason === 'stop' && toolCalls.length > 0 ? 'toolCalls' : reason,
      usage: this.#countedUsage(), timings: this.#measured(), seed: this.#seed,
      ...(this.#logprobs.length > 0 ? { logprobs: this.#logprobs } : {}),
    };
  }

  #countedUsage(): ChatResult['usage'] {
    const usage = this.#usage ?? {};
    const completionTokens = usage.completion_tokens ?? this.#counted.thinking + this.#counted.content;
    const told = usage.completion_tokens_details?.reasoning_tokens ?? usage.reasoning_tokens;
    const thinkingTokens = Math.min(completionTokens, told ?? this.#counted.thinking);
    return {
      promptTokens: usage.prompt_tokens ?? 0, cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
      thinkingTokens, contentTokens: completionTokens - thinkingTokens, completionTokens,
    };
  }

  #measured(): ChatResult['timings'] {
    const { promptTokens, cachedTokens, completionTokens } = this.#countedUsage();
    const first = this.#firstToken === undefined ? 0 : this.#firstToken - this.#start;
    const decode = this.#firstToken === undefined ? 0 : this.#lastToken - this.#firstToken;
    const perSecond = (tokens: number, ms: number): number => (ms > 0 ? Math.max(0, tokens) * 1000 / ms : 0);
    return {
      timeToFirstTokenMs: first,
      prefillTokensPerSecond: this.#timings?.prompt_per_second ?? perSecond(promptTokens - cachedTokens, first),
      decodeTokensPerSecond: this.#timings?.predicted_per_second ?? perSecond(completionTokens - 1, decode),
      totalMs: performance.now() - this.#start,
    };
  }
}

function logprob({ token, id, logprob: value }: Logprob): TokenLogprob {
  return { token, logprob: value, ...(id === undefined ? {} : { tokenId: id }) };
}

/** The arguments as an object; as text where they are none. */
function parsed(text: string): ToolCall['arguments'] {
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : text;
  } catch {
    return text;
  }
}
