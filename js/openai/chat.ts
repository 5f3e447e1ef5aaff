// POST …/chat/completions: messages in, one or several choices out, whole or as a stream.

import type { ChatModel, ChatResult, ReplyEvent, TokenLogprob, ToolCall } from '../index.js';
import { chatOptions, delivery, messages } from './options.js';
import { streamed } from './stream.js';
import { finishReason, header, seeded, usage, usageOf } from './response.js';

/** Answers a request for a chat completion. */
export async function chatCompletion(model: ChatModel, body: Record<string, unknown>, signal: AbortSignal): Promise<Response> {
  const { n, stream, includeUsage } = delivery(body);
  const [conversation, options] = [messages(body), chatOptions(body)];
  const head = header(model, 'chatcmpl');
  const replies = Array.from({ length: n }, (_, index) => model.chat(conversation, { ...seeded(options, index), signal }));
  const mostCalls = body['parallel_tool_calls'] === false ? 1 : Infinity;
  if (!stream) {
    const results = await Promise.all(replies);
    signal.throwIfAborted();
    const choices = results.map((result, index) => ({ index, message: message(result, result.toolCalls.slice(0, mostCalls)), logprobs: logprobs(result), finish_reason: finishReason(result) }));
    return Response.json({ ...head, object: 'chat.completion', choices, usage: usage(results, n) });
  }
  const begun = new Set<number>();
  const chunk = (index: number, delta: object, end: object = {}): object => {
    const role = begun.has(index) ? {} : { role: 'assistant' };
    begun.add(index);
    return { ...head, object: 'chat.completion.chunk', choices: [{ index, delta: { ...role, ...delta }, logprobs: null, finish_reason: null, ...end }] };
  };
  const chunks = (event: ReplyEvent, index: number): object[] => {
    switch (event.type) {
      case 'thinking': return [chunk(index, thought(event.text))];
      case 'content': return [chunk(index, { content: event.text })];
      // Only a whole call is known to be one: what comes before it may still turn out to be text.
      case 'toolCall': return event.index < mostCalls ? [chunk(index, { tool_calls: [{ index: event.index, ...toolCall(event) }] })] : [];
      case 'done': return [chunk(index, {}, { logprobs: logprobs(event.result), finish_reason: finishReason(event.result) })];
      default: return [];
    }
  };
  return streamed(replies, chunks, (results) => usageOf(head, 'chat.completion.chunk', includeUsage, results, n), signal);
}

/** Under both names that clients look for. */
function thought(text: string): object {
  return text === '' ? {} : { reasoning_content: text, reasoning: text };
}

function message({ content, thinking }: ChatResult, calls: readonly ToolCall[]): object {
  const called = calls.length === 0 ? {} : { tool_calls: calls.map(toolCall) };
  return { role: 'assistant', content: content === '' && calls.length > 0 ? null : content, refusal: null, ...thought(thinking), ...called };
}

function toolCall({ id, name, arguments: args }: ToolCall): object {
  return { id, type: 'function', function: { name, arguments: typeof args === 'string' ? args : JSON.stringify(args) } };
}

function logprobs({ logprobs: tokens }: ChatResult): object | null {
  const one = ({ token, logprob }: TokenLogprob): object => ({ token, logprob, bytes: token.includes('\uFFFD') ? null : [...new TextEncoder().encode(token)] });
  return tokens === undefined ? null : { content: tokens.map((token) => ({ ...one(token), top_logprobs: token.topLogprobs.map(one) })), refusal: null };
}
