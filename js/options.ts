// Checks of what callers pass, besides what the engine checks: an unknown option or a wrong value is told by name, value and range.

import { Qwen3Error } from './errors.js';
import type { ChatOptions, ConnectOptions, LoadOptions, Message, RunOptions, RunTool } from './types.js';

/** An option's check: what it must be, in words, and whether a value is. */
export interface Rule {
  expected: string;
  holds(value: unknown): boolean;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const oneOf = (...values: string[]): Rule => ({
  expected: values.map((value) => `'${value}'`).join(' or '),
  holds: (value) => typeof value === 'string' && values.includes(value),
});
const anInteger: Rule = {
  expected: 'an integer of at least 1',
  holds: (value) => typeof value === 'number' && Number.isInteger(value) && value >= 1,
};
const aCount: Rule = {
  expected: 'an integer from 1 to 16',
  holds: (value) => anInteger.holds(value) && Number(value) <= 16,
};
const anAbortSignal: Rule = { expected: 'an AbortSignal', holds: (value) => value instanceof AbortSignal };
const aBoolean: Rule = { expected: 'true or false', holds: (value) => typeof value === 'boolean' };
const aFunction: Rule = { expected: 'a function', holds: (value) => typeof value === 'function' };
const someHeaders: Rule = {
  expected: 'an object of strings',
  holds: (value) => typeof value === 'object' && value !== null && !(value instanceof Headers)
    && Object.values(value).every((field) => typeof field === 'string'),
};

const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, Rule>> = {
  device: oneOf('auto', 'webgpu', 'cpu'),
  kernels: oneOf('auto', 'hardware', 'software'),
  contextLength: anInteger,
  yarnFactor: {
    expected: 'a number above 1, at most 64',
    holds: (value) => typeof value === 'number' && value > 1 && value <= 64,
  },
  kvCache: oneOf('auto', 'q8'),
  gpuTimestamps: aBoolean,
  threads: aCount,
  onProgress: aFunction,
  signal: anAbortSignal,
  cache: oneOf('indexeddb', 'memory', 'none'),
  fetch: aFunction,
  headers: someHeaders,
  connections: aCount,
  stallTimeoutMs: {
    expected: 'a positive number of milliseconds',
    holds: (value) => typeof value === 'number' && value > 0 && value < 2 ** 31,
  },
  logger: {
    expected: 'an object with the functions debug, info, warn and error',
    holds: (value) => isObject(value) && ['debug', 'info', 'warn', 'error'].every((level) => typeof value[level] === 'function'),
  },
  worker: aBoolean,
};

/** The value as a message shows it, short. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : typeof value === 'object' && value !== null
    ? Object.prototype.toString.call(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Throws `invalid-argument` for the first option that is unknown or wrong; `undefined` stands for the default. */
export function checkOptions(call: string, rules: Readonly<Record<string, Rule>>, options: object): void {
  if (typeof options !== 'object' || options === null) {
    throw new Qwen3Error('invalid-argument', `the options of ${call} must be an object, got ${show(options)}`);
  }
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) {
      throw new Qwen3Error('invalid-argument', `${call} has no option '${name}'`, {
        hint: `its options are ${Object.keys(rules).join(', ')}`,
      });
    }
    if (value !== undefined && !rule.holds(value)) {
      throw new Qwen3Error('invalid-argument', `the option ${name} must be ${rule.expected}, got ${show(value)}`);
    }
  }
}

/** Of `loadModel`. */
export function checkLoadOptions(options: LoadOptions): void {
  checkOptions('loadModel', LOAD_OPTIONS, options);
}

/** That it is a conversation, for what does not go to the engine. */
export function checkMessages(messages: Message[]): void {
  if (!Array.isArray(messages) || messages.length === 0) throw new Qwen3Error('invalid-argument', `messages must be an array of at least one message, got ${show(messages)}`);
  for (const [index, message] of messages.entries()) {
    if (!isObject(message)) throw new Qwen3Error('invalid-argument', `messages[${index}] must be an object, got ${show(message)}`);
    const { role, content } = message;
    if (!['system', 'user', 'assistant', 'tool'].includes(role)) throw new Qwen3Error('invalid-argument', `messages[${index}].role must be system, user, assistant or tool, got ${show(role)}`);
    if (typeof content !== 'string') throw new Qwen3Error('invalid-argument', `messages[${index}].content must be a string, got ${show(content)}`);
  }
}

const CONNECT_OPTIONS: Readonly<Record<keyof ConnectOptions, Rule>> = {
  baseURL: { expected: 'an http or https address, or one of this site', holds: isAddress },
  model: { expected: 'the name of a model', holds: (value) => typeof value === 'string' && value !== '' },
  apiKey: { expected: 'a string', holds: (value) => typeof value === 'string' },
  headers: someHeaders,
  fetch: aFunction,
};

function isAddress(value: unknown): boolean {
  try {
    return (typeof value === 'string' || value instanceof URL) && value !== '' && /^https?:$/.test(new URL(value, globalThis.location?.href).protocol);
  } catch {
    return false;
  }
}

/** Of `connect`. */
export function checkConnectOptions(options: ConnectOptions): void {
  checkOptions('connect', CONNECT_OPTIONS, typeof options === 'object' && options !== null ? { ...options, baseURL: options.baseURL ?? null, model: options.model ?? null } : options);
}

const numberFrom = (low: number, high: number): Rule => ({
  expected: `a number from ${low} to ${high}`, holds: (value) => typeof value === 'number' && value >= low && value <= high,
});
const integerFrom = (low: number, high = Number.MAX_SAFE_INTEGER): Rule => ({
  expected: `an integer from ${low} to ${high}`, holds: (value) => Number.isSafeInteger(value) && Number(value) >= low && Number(value) <= high,
});

/** The engine checks the same. */
const CHAT_OPTIONS: Readonly<Record<keyof ChatOptions, Rule>> = {
  enableThinking: aBoolean,
  thinkingBudget: integerFrom(0),
  maxTokens: integerFrom(1),
  temperature: numberFrom(0, 2),
  topP: numberFrom(0, 1),
  topK: integerFrom(0, 2 ** 20),
  minP: numberFrom(0, 1),
  presencePenalty: numberFrom(-2, 2),
  frequencyPenalty: numberFrom(-2, 2),
  repetitionPenalty: numberFrom(0.1, 10),
  logitBias: { expected: 'an object of token ids and numbers from -100 to 100', holds: (value) => isObject(value) && Object.entries(value).every(([id, bias]) => /^\d+$/.test(id) && numberFrom(-100, 100).holds(bias)) },
  seed: integerFrom(0),
  stop: { expected: 'a string or an array of strings, none empty', holds: (value) => [value].flat().every((text) => typeof text === 'string' && text !== '') },
  tools: { expected: "an array of { type: 'function', function: { name, … } }", holds: (value) => Array.isArray(value) && value.every((tool) => isObject(tool) && isObject(tool['function']) && typeof tool['function']['name'] === 'string') },
  toolChoice: { expected: "'auto', 'none', 'required' or { name }", holds: (value) => ['auto', 'none', 'required'].includes(String(value)) || (isObject(value) && typeof value['name'] === 'string') },
  responseFormat: { expected: "{ type: 'json_object' }, { type: 'json_schema', schema }, { type: 'regex', pattern } or { type: 'grammar', grammar }", holds: isResponseFormat },
  logprobs: aBoolean,
  topLogprobs: integerFrom(0, 20),
  onContextOverflow: oneOf('error', 'dropOldestTurns'),
  addGenerationPrompt: aBoolean,
  continueFinalMessage: aBoolean,
  loopGuard: aBoolean,
  signal: anAbortSignal,
};

function isResponseFormat(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { type, schema, pattern, grammar } = value;
  return type === 'json_object' || (type === 'json_schema' && isObject(schema)) || (type === 'regex' && typeof pattern === 'string')
    || (type === 'grammar' && typeof grammar === 'string');
}

/** Of `chat`, for what does not go to the engine. */
export function checkChatOptions(options: ChatOptions): void {
  checkOptions('chat', CHAT_OPTIONS, options);
}

/** Of `run`: those that are its own; each reply checks the others. */
export function checkRunOptions(options: RunOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new Qwen3Error('invalid-argument', `the options of run must be an object with tools, got ${show(options)}`);
  }
  const { tools, maxSteps, signal } = options;
  checkOptions('run', { ...RUN_OPTIONS, signal: anAbortSignal }, { tools: tools ?? null, maxSteps, signal });
  const names = tools.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Qwen3Error('invalid-argument', `the option tools must have one tool of a name, got two named '${twice}'`);
}

const RUN_OPTIONS: Readonly<Record<'tools' | 'maxSteps', Rule>> = {
  tools: {
    expected: 'an array of { name, description?, parameters?, execute? }',
    holds: (value) => Array.isArray(value) && value.every((tool: unknown) => isObject(tool) && isRunTool(tool)),
  },
  maxSteps: anInteger,
};

function isRunTool(tool: Partial<Record<keyof RunTool, unknown>>): boolean {
  return typeof tool.name === 'string' && tool.name !== ''
    && ['string', 'undefined'].includes(typeof tool.description)
    && (tool.parameters === undefined || isObject(tool.parameters))
    && ['function', 'undefined'].includes(typeof tool.execute);
}
