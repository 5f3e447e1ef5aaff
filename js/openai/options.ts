// OpenAI's request parameters, and those vLLM, SGLang and llama.cpp add, as options of a reply.

import type { ChatOptions, Message, Tool, ToolCall } from '../types.js';
import { refuse } from './refusal.js';

type Body = Readonly<Record<string, unknown>>;

/** Parameters that are options under another name; the engine checks their values. */
const SAME = {
  temperature: 'temperature', top_p: 'topP', top_k: 'topK', min_p: 'minP', presence_penalty: 'presencePenalty',
  frequency_penalty: 'frequencyPenalty', repetition_penalty: 'repetitionPenalty', logit_bias: 'logitBias', seed: 'seed', stop: 'stop',
  max_tokens: 'maxTokens', max_completion_tokens: 'maxTokens', thinking_token_budget: 'thinkingBudget',
} as const satisfies Record<string, keyof ChatOptions>;

const CHAT_ONLY = { logprobs: 'logprobs', top_logprobs: 'topLogprobs' } as const satisfies Record<string, keyof ChatOptions>;

/** The parameter of an option. */
export const optionNames: ReadonlyMap<string, string> = new Map([
  ...Object.entries({ ...SAME, ...CHAT_ONLY }).map(([param, option]) => [option, param] as const),
  ['maxTokens', 'max_tokens'], ['tools', 'tools'], ['toolChoice', 'tool_choice'], ['responseFormat', 'response_format'],
  ['enableThinking', 'chat_template_kwargs.enable_thinking'],
]);

/** What would be answered wrongly if it were left out of account. */
const UNSUPPORTED = ['audio', 'functions', 'function_call', 'web_search_options', 'suffix', 'echo', 'best_of'];

/** Tokens of thinking; more than `high` cannot be asked for. */
const EFFORT: Readonly<Record<string, Pick<ChatOptions, 'enableThinking' | 'thinkingBudget'>>> = {
  none: { enableThinking: false }, minimal: { thinkingBudget: 128 }, low: { thinkingBudget: 512 }, medium: { thinkingBudget: 2048 }, high: {}, xhigh: {},
};

const isObject = (value: unknown): value is Body => typeof value === 'object' && value !== null && !Array.isArray(value);

function renamed(body: Body, names: Readonly<Record<string, string>>): ChatOptions {
  const given = Object.entries(names).filter(([param]) => body[param] !== undefined && body[param] !== null);
  return Object.fromEntries(given.map(([param, option]) => [option, body[param]]));
}

/** Those that a raw completion has too. */
export function samplingOptions(body: Body): ChatOptions {
  for (const param of UNSUPPORTED) if (body[param] !== undefined && body[param] !== null && body[param] !== false) refuse(param, 'it to be absent: it is not supported', body[param]);
  // -1 is vLLM's and SGLang's way to say that there is no limit.
  return { ...renamed(body, SAME), ...(body['top_k'] === -1 ? { topK: 0 } : {}) };
}

/** All options of a chat. */
export function chatOptions(body: Body): ChatOptions {
  return { ...thinkingOptions(body), ...samplingOptions(body), ...renamed(body, CHAT_ONLY), ...responseFormat(body), ...tools(body) };
}

function thinkingOptions(body: Body): ChatOptions {
  const { chat_template_kwargs: kwargs = null, reasoning_effort: effort = null } = body;
  if (effort !== null && (typeof effort !== 'string' || !Object.hasOwn(EFFORT, effort))) refuse('reasoning_effort', Object.keys(EFFORT).join(' or '), effort);
  if (kwargs !== null && !isObject(kwargs)) refuse('chat_template_kwargs', 'an object', kwargs);
  const enable = kwargs?.['enable_thinking'];
  if (enable !== undefined && typeof enable !== 'boolean') refuse('chat_template_kwargs.enable_thinking', 'true or false', enable);
  return { ...(effort === null ? {} : EFFORT[effort]), ...(enable === undefined ? {} : { enableThinking: enable }) };
}

function responseFormat({ response_format: format = null }: Body): ChatOptions {
  if (format === null) return {};
  const type = isObject(format) ? format['type'] : undefined;
  const schema = isObject(format) ? format['json_schema'] : undefined;
  if (type === 'text') return {};
  if (type === 'json_object') return { responseFormat: { type } };
  if (type === 'json_schema' && isObject(schema) && isObject(schema['schema'])) return { responseFormat: { type, schema: schema['schema'] } };
  return refuse('response_format', "{ type: 'text' | 'json_object' } or { type: 'json_schema', json_schema: { name, schema } }", format);
}

function tools({ tools: list = null, tool_choice: choice = null }: Body): ChatOptions {
  if (list === null) return {};
  if (!Array.isArray(list)) refuse('tools', 'an array', list);
  const functions = list.map((tool: unknown, index): Tool => {
    const described = isObject(tool) && tool['type'] === 'function' ? tool['function'] : undefined;
    if (!isObject(described)) refuse(`tools[${index}]`, "{ type: 'function', function: { name, … } }", tool);
    const { name, description, parameters } = described;
    if (typeof name !== 'string') refuse(`tools[${index}].function.name`, 'a string', name);
    // What the model was not trained to see (`strict`) is left out.
    return { type: 'function', function: { name, ...(typeof description === 'string' ? { description } : {}), ...(isObject(parameters) ? { parameters } : {}) } };
  });
  return { tools: functions, ...(choice === null ? {} : { toolChoice: toolChoice(choice) }) };
}

function toolChoice(choice: unknown): NonNullable<ChatOptions['toolChoice']> {
  if (choice === 'auto' || choice === 'none' || choice === 'required') return choice;
  const named = isObject(choice) && isObject(choice['function']) ? choice['function']['name'] : undefined;
  return typeof named === 'string' ? { name: named } : refuse('tool_choice', "'auto', 'none', 'required' or { type: 'function', function: { name } }", choice);
}

const ROLES: Readonly<Record<string, Message['role']>> = {
  system: 'system', developer: 'system', user: 'user', assistant: 'assistant', tool: 'tool',
};

/** A conversation. */
export function messages({ messages: list }: Body): Message[] {
  if (!Array.isArray(list) || list.length === 0) refuse('messages', 'at least one message', list);
  return list.map((value: unknown, index) => {
    const place = `messages[${index}]`;
    if (!isObject(value)) refuse(place, 'an object', value);
    const role = ROLES[String(value['role'])] ?? refuse(`${place}.role`, Object.keys(ROLES).join(' or '), value['role']);
    const message: Message = { role, content: text(value['content'], `${place}.content`) };
    const thinking = value['reasoning_content'] ?? value['reasoning'];
    if (typeof thinking === 'string') message.thinking = thinking;
    if (typeof value['tool_call_id'] === 'string') message.toolCallId = value['tool_call_id'];
    if (Array.isArray(value['tool_calls'])) message.toolCalls = value['tool_calls'].map((call: unknown, at) => toolCall(call, `${place}.tool_calls[${at}]`));
    return message;
  });
}

function text(content: unknown, place: string): string {
  if (content === undefined || content === null) return '';
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) refuse(place, 'a string or parts of type text', content);
  return content.map((part: unknown, index) => {
    const said = isObject(part) ? part['text'] ?? part['refusal'] : undefined;
    return typeof said === 'string' ? said : refuse(`${place}[${index}]`, 'a part of type text', isObject(part) ? part['type'] : part);
  }).join('');
}

function toolCall(call: unknown, place: string): ToolCall {
  const described = isObject(call) ? call['function'] : undefined;
  if (!isObject(call) || !isObject(described) || typeof described['name'] !== 'string') refuse(place, '{ id, function: { name, arguments } }', call);
  const args = described['arguments'];
  return { id: String(call['id'] ?? ''), name: described['name'], arguments: typeof args === 'string' ? parsed(args) : isObject(args) ? { ...args } : {} };
}

/** JSON is printed anew as the model's template wants it; what is no JSON stays as it is. */
function parsed(args: string): ToolCall['arguments'] {
  try {
    const value: unknown = JSON.parse(args === '' ? '{}' : args);
    return isObject(value) ? { ...value } : args;
  } catch {
    return args;
  }
}

/** How many answers are wanted, whether as a stream, and whether that ends with the usage. */
export function delivery(body: Body): { n: number; stream: boolean; includeUsage: boolean } {
  const { n = null, stream = null, stream_options: options = null } = body;
  if (n !== null && (typeof n !== 'number' || !Number.isInteger(n) || n < 1 || n > 16)) refuse('n', 'an integer from 1 to 16', n);
  if (stream !== null && typeof stream !== 'boolean') refuse('stream', 'true or false', stream);
  return { n: n ?? 1, stream: stream ?? false, includeUsage: isObject(options) && options['include_usage'] === true };
}
