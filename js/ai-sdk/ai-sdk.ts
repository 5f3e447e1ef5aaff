// A model of this package as a language model of the Vercel AI SDK: `streamText({ model: qwen3(model), prompt })`.

import type { LanguageModelV3, LanguageModelV3Content, LanguageModelV3FinishReason, LanguageModelV3StreamPart, LanguageModelV3Usage } from '@ai-sdk/provider';
import type { ChatModel, ChatOptions, ChatResult, Reply, ReplyEvent, ToolCall } from '../index.js';
import { chatCall } from './call.js';

/** Wraps a loaded or connected model. `options` are those of every call that does not say otherwise, under `providerOptions.qwen3`. */
export function qwen3(model: ChatModel, options: ChatOptions = {}): LanguageModelV3 {
  return {
    specificationVersion: 'v3',
    provider: 'qwen3-web',
    modelId: model.info.name,
    supportedUrls: {},
    async doGenerate(call) {
      const { messages, options: chatOptions, warnings } = chatCall(call, options);
      const result = await model.chat(messages, chatOptions);
      call.abortSignal?.throwIfAborted();
      return { content: content(result), finishReason: finishReason(result), usage: usage(result), warnings, response: { modelId: model.info.name } };
    },
    async doStream(call) {
      const { messages, options: chatOptions, warnings } = chatCall(call, options);
      const reply = model.chat(messages, chatOptions);
      const stream = new ReadableStream<LanguageModelV3StreamPart>({
        start: async (controller) => {
          controller.enqueue({ type: 'stream-start', warnings });
          controller.enqueue({ type: 'response-metadata', modelId: model.info.name });
          for await (const part of parts(reply)) controller.enqueue(part);
          controller.close();
        },
        cancel: () => reply.abort(),
      });
      return { stream };
    },
  };
}

/** The parts of a stream: each stretch of thinking, text or a call's arguments is begun and ended. */
async function* parts(reply: Reply): AsyncGenerator<LanguageModelV3StreamPart> {
  let open: { kind: 'reasoning' | 'text'; id: string } | undefined;
  let stretches = 0;
  try {
    for await (const event of reply) {
      const kind = event.type === 'thinking' ? 'reasoning' : event.type === 'content' ? 'text' : undefined;
      if (open !== undefined && (kind === undefined ? endsText(event) : kind !== open.kind)) {
        yield { type: `${open.kind}-end`, id: open.id };
        open = undefined;
      }
      if (kind !== undefined && open === undefined) {
        open = { kind, id: `${stretches}` };
        stretches += 1;
        yield { type: `${kind}-start`, id: open.id };
      }
      if (open !== undefined && (event.type === 'thinking' || event.type === 'content')) yield { type: `${open.kind}-delta`, id: open.id, delta: event.text };
      // Only a whole call is known to be one: what comes before it may still turn out to be text.
      if (event.type === 'toolCall') yield* toolCall(event);
      if (event.type === 'done') yield { type: 'finish', finishReason: finishReason(event.result), usage: usage(event.result) };
    }
  } catch (error) {
    yield { type: 'error', error };
  }
}

function endsText({ type }: ReplyEvent): boolean {
  return type === 'toolCall' || type === 'done';
}

function* toolCall(call: ToolCall): Generator<LanguageModelV3StreamPart> {
  const { id, name } = call;
  yield { type: 'tool-input-start', id, toolName: name };
  yield { type: 'tool-input-delta', id, delta: input(call) };
  yield { type: 'tool-input-end', id };
  yield { type: 'tool-call', toolCallId: id, toolName: name, input: input(call) };
}

function input({ arguments: args }: ToolCall): string {
  return typeof args === 'string' ? args : JSON.stringify(args);
}

function content({ thinking, content: text, toolCalls }: ChatResult): LanguageModelV3Content[] {
  return [
    ...(thinking === '' ? [] : [{ type: 'reasoning' as const, text: thinking }]),
    ...(text === '' ? [] : [{ type: 'text' as const, text }]),
    ...toolCalls.map((call) => ({ type: 'tool-call' as const, toolCallId: call.id, toolName: call.name, input: input(call) })),
  ];
}

function finishReason({ finishReason: raw }: ChatResult): LanguageModelV3FinishReason {
  return { raw, unified: raw === 'toolCalls' ? 'tool-calls' : raw === 'abort' ? 'other' : raw };
}

function usage({ usage: { promptTokens, cachedTokens, thinkingTokens, contentTokens, completionTokens } }: ChatResult): LanguageModelV3Usage {
  return {
    inputTokens: { total: promptTokens, noCache: promptTokens - cachedTokens, cacheRead: cachedTokens, cacheWrite: undefined },
    outputTokens: { total: completionTokens, text: contentTokens, reasoning: thinkingTokens },
  };
}
