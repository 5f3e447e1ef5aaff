// A call of the AI SDK as messages and options of `chat`.

import type { LanguageModelV3CallOptions, LanguageModelV3Message, LanguageModelV3ToolResultPart, SharedV3Warning } from '@ai-sdk/provider';
import { Qwen3Error, type ChatOptions, type Message, type Tool } from '../index.js';

interface ChatCall {
  messages: Message[];
  options: ChatOptions;
  /** What was asked for and is not there. */
  warnings: SharedV3Warning[];
}

/** Translates a call; what it says goes before `defaults`. */
export function chatCall(call: LanguageModelV3CallOptions, defaults: ChatOptions): ChatCall {
  const warnings: SharedV3Warning[] = [];
  const tools = (call.tools ?? []).flatMap((tool): Tool[] => {
    if (tool.type === 'function') return [{ type: 'function', function: { name: tool.name, ...(tool.description === undefined ? {} : { description: tool.description }), parameters: tool.inputSchema } }];
    warnings.push({ type: 'unsupported', feature: `the provider tool ${tool.id}` });
    return [];
  });
  const options = {
    maxTokens: call.maxOutputTokens, temperature: call.temperature, topP: call.topP, topK: call.topK, seed: call.seed, signal: call.abortSignal,
    stop: call.stopSequences?.length ? call.stopSequences : undefined,
    presencePenalty: call.presencePenalty, frequencyPenalty: call.frequencyPenalty,
    tools: tools.length > 0 ? tools : undefined, toolChoice: toolChoice(call), responseFormat: responseFormat(call),
  };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { messages: call.prompt.flatMap(messages), options: { ...defaults, ...given, ...call.providerOptions?.['qwen3'] }, warnings };
}

function toolChoice({ tools, toolChoice: choice }: LanguageModelV3CallOptions): ChatOptions['toolChoice'] {
  if (choice === undefined || tools === undefined || tools.length === 0) return undefined;
  return choice.type === 'tool' ? { name: choice.toolName } : choice.type;
}

function responseFormat({ responseFormat: format }: LanguageModelV3CallOptions): ChatOptions['responseFormat'] {
  if (format?.type !== 'json') return undefined;
  if (format.schema === undefined) return { type: 'json_object' };
  // Which draft it is written in says nothing of its own about the answer.
  const { $schema: _, ...schema } = format.schema;
  return { type: 'json_schema', schema };
}

function messages(message: LanguageModelV3Message): Message[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }];
    case 'user':
      return [{ role: 'user', content: message.content.map((part) => (part.type === 'text' ? part.text : unsupported(part.type))).join('') }];
    case 'assistant': {
      const assistant: Message = { role: 'assistant', content: '' };
      for (const part of message.content) {
        if (part.type === 'text') assistant.content += part.text;
        else if (part.type === 'reasoning') assistant.thinking = (assistant.thinking ?? '') + part.text;
        else if (part.type === 'tool-call') (assistant.toolCalls ??= []).push({ id: part.toolCallId, name: part.toolName, arguments: typeof part.input === 'string' ? part.input : { ...(part.input as object) } });
        else unsupported(part.type);
      }
      return [assistant];
    }
    case 'tool':
      return message.content.map((part) => (part.type === 'tool-result'
        ? { role: 'tool' as const, content: resultText(part.output), toolCallId: part.toolCallId, name: part.toolName } : unsupported(part.type)));
  }
}

function resultText(output: LanguageModelV3ToolResultPart['output']): string {
  switch (output.type) {
    case 'text': return output.value;
    case 'json': return JSON.stringify(output.value);
    case 'error-text': return `Error: ${output.value}`;
    case 'error-json': return `Error: ${JSON.stringify(output.value)}`;
    case 'execution-denied': return `Error: the user did not allow this${output.reason === undefined ? '' : `: ${output.reason}`}`;
    case 'content': return output.value.map((part) => (part.type === 'text' ? part.text : unsupported(part.type))).join('');
  }
}

function unsupported(type: string): never {
  throw new Qwen3Error('invalid-argument', `a prompt may hold text, thinking, tool calls and their results, got a part of type ${type}`, { hint: 'Qwen3 reads text' });
}
