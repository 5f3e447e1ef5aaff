// The shape of the browser's own Prompt API (https://webmachinelearning.github.io/prompt-api/) on a model of this package.

import { asQwen3Error } from '../errors.js';
import type { Reply } from '../reply.js';
import type { ChatModel, ChatOptions, ChatResult, Message, RunResult, RunTool } from '../types.js';

/** A prompt, or several; `prefix` lets the model go on from what it is given to have said. */
export type PromptInput = string | PromptMessage[];

/** One prompt of a conversation. */
export interface PromptMessage {
  role: 'system' | 'user' | 'assistant';
  content: string | { type: 'text'; value: string }[];
  /** Only of the last one, which must be the assistant's. */
  prefix?: boolean;
}

/** What a session starts with. Besides the Prompt API's own, every option of `chat` may be here. */
export interface SessionOptions extends Omit<ChatOptions, 'tools' | 'toolChoice' | 'responseFormat' | 'onContextOverflow'> {
  initialPrompts?: PromptMessage[];
  tools?: { name: string; description: string; inputSchema: object; execute(args: Record<string, unknown>): Promise<string> | string }[];
}

/** Options of one prompt. */
export interface PromptOptions {
  /** A JSON Schema, or an expression that the whole answer matches. */
  responseConstraint?: object | RegExp;
  signal?: AbortSignal;
}

/** A session on a model that is loaded already; `create` starts others, as the browser's `LanguageModel` does. */
export function languageModel(model: ChatModel, options: SessionOptions = {}): LanguageModelSession {
  return new LanguageModelSession(model, options, []);
}

/** A conversation that keeps itself. Calls that overlap are carried out one after the other. */
export class LanguageModelSession extends EventTarget {
  /** Tokens of the conversation so far. */
  contextUsage = 0;
  readonly #model: ChatModel;
  readonly #options: SessionOptions;
  readonly #destroyed = new AbortController();
  #messages: Message[];
  #last: Promise<unknown> = Promise.resolve();

  /** Use `languageModel`. */
  constructor(model: ChatModel, options: SessionOptions, messages: Message[]) {
    super();
    this.#model = model;
    this.#options = options;
    this.#messages = messages.length > 0 ? messages : plainMessages(options.initialPrompts ?? [], true).messages;
  }

  /** Tokens that fit. */
  get contextWindow(): number {
    return this.#model.info.contextLength ?? Infinity;
  }

  /** Another session on the same model. */
  create(options: SessionOptions = {}): Promise<LanguageModelSession> {
    return Promise.resolve().then(() => new LanguageModelSession(this.#model, options, []));
  }

  /** The model is loaded. */
  availability(): Promise<'available'> {
    return Promise.resolve('available');
  }

  /** The whole answer. */
  prompt(input: PromptInput, options: PromptOptions = {}): Promise<string> {
    return this.#queue(options.signal, (signal) => this.#answer(input, options, signal, () => undefined));
  }

  /** The answer as it comes. */
  promptStreaming(input: PromptInput, options: PromptOptions = {}): ReadableStream<string> {
    const cancelled = new AbortController();
    const signals = [cancelled.signal, ...(options.signal === undefined ? [] : [options.signal])];
    return new ReadableStream<string>({
      start: (controller) => {
        this.#queue(AbortSignal.any(signals), (signal) => this.#answer(input, options, signal, (text) => controller.enqueue(text)))
          .then(() => controller.close(), (error: unknown) => controller.error(error));
      },
      cancel: (reason) => cancelled.abort(reason),
    });
  }

  /** More of the conversation, to which no answer is wanted yet; the model reads it at once. */
  append(input: PromptInput, { signal }: Pick<PromptOptions, 'signal'> = {}): Promise<void> {
    return this.#queue(signal, async () => {
      this.#messages.push(...plainMessages(input, this.#messages.length === 0).messages);
      await this.#model.prefill?.(this.#messages, this.#chatOptions());
      this.contextUsage = await this.#count(this.#messages);
    });
  }

  /** Tokens that an input would add. */
  measureContextUsage(input: PromptInput, { signal }: Pick<PromptOptions, 'signal'> = {}): Promise<number> {
    return this.#queue(signal, () => this.#model.countTokens(plainMessages(input, this.#messages.length === 0).messages, { addGenerationPrompt: false }));
  }

  /** A session that goes its own way from here. */
  clone({ signal }: Pick<PromptOptions, 'signal'> = {}): Promise<LanguageModelSession> {
    return this.#queue(signal, async () => {
      const copy = new LanguageModelSession(this.#model, this.#options, [...this.#messages]);
      copy.contextUsage = this.contextUsage;
      return copy;
    });
  }

  /** Ends what is under way; nothing can be asked afterwards. The model stays loaded. */
  destroy(): void {
    this.#destroyed.abort(new DOMException('the session was destroyed', 'AbortError'));
  }

  #chatOptions(): ChatOptions {
    const { initialPrompts: _, tools, ...options } = this.#options;
    return { ...options, ...(tools === undefined ? {} : { tools: tools.map(({ execute: _execute, inputSchema, ...tool }) => ({ type: 'function' as const, function: { ...tool, parameters: inputSchema } })) }) };
  }

  #count(messages: Message[]): Promise<number> {
    return this.#model.countTokens(messages, { ...this.#chatOptions(), addGenerationPrompt: false });
  }

  /** Runs work after all that was asked before, unless it is given up; failures are the browser's. */
  #queue<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#destroyed.signal.aborted) return Promise.reject(new DOMException('the session was destroyed', 'InvalidStateError'));
    const either = signal === undefined ? this.#destroyed.signal : AbortSignal.any([signal, this.#destroyed.signal]);
    const result = this.#last.then(async () => {
      either.throwIfAborted();
      try {
        return await work(either);
      } catch (error) {
        throw either.aborted ? either.reason : asDomException(error);
      }
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #answer(input: PromptInput, { responseConstraint }: PromptOptions, signal: AbortSignal, tell: (text: string) => void): Promise<string> {
    const { messages, prefix } = plainMessages(input, this.#messages.length === 0);
    const conversation = [...this.#messages, ...messages];
    const { initialPrompts: _, tools, ...options } = this.#options;
    const all: ChatOptions = {
      ...options, signal, onContextOverflow: 'dropOldestTurns',
      ...(prefix ? { continueFinalMessage: true, addGenerationPrompt: false } : {}),
      ...(responseConstraint === undefined ? {} : { responseFormat: format(responseConstraint) }),
    };
    const reply: Reply<ChatResult> | Reply<RunResult> = tools === undefined ? this.#model.chat(conversation, all)
      : this.#model.run(conversation, { ...all, tools: tools.map(({ inputSchema, ...tool }): RunTool => ({ ...tool, parameters: inputSchema })) });
    for await (const event of reply) {
      if (event.type === 'content') tell(event.text);
      if (event.type === 'notice' && event.code === 'dropped-turns') this.dispatchEvent(new Event('contextoverflow'));
    }
    const result: ChatResult | RunResult = await reply;
    signal.throwIfAborted();
    const given = prefix ? messages.pop()?.content ?? '' : '';
    const said: Message = { role: 'assistant', content: given + result.content, ...(result.thinking === '' ? {} : { thinking: result.thinking }) };
    this.#messages = 'messages' in result ? result.messages : [...this.#messages, ...messages, said];
    this.contextUsage = result.usage.promptTokens + result.usage.completionTokens;
    return result.content;
  }
}

/** The prompts as messages. A system prompt may only come first. */
function plainMessages(input: PromptInput, first: boolean): { messages: Message[]; prefix: boolean } {
  const prompts = typeof input === 'string' ? [{ role: 'user' as const, content: input }] : input;
  const messages = prompts.map(({ role, content }: PromptMessage, index): Message => {
    if (role === 'system' && !(first && index === 0)) throw new TypeError('a system prompt is only allowed as the first of the initial prompts');
    if (typeof content === 'string') return { role, content };
    const other = content.find(({ type }) => type !== 'text');
    if (other !== undefined) throw new DOMException(`content of type ${String(other.type)} is not supported`, 'NotSupportedError');
    return { role, content: content.map(({ value }) => value).join('') };
  });
  const last = prompts.at(-1);
  const marked = prompts.find((prompt: PromptMessage) => prompt.prefix === true);
  if (marked !== undefined && (marked !== last || marked.role !== 'assistant')) throw new DOMException('only the last prompt, an assistant\'s, can be a prefix', 'SyntaxError');
  return { messages, prefix: marked !== undefined };
}

function format(constraint: object | RegExp): NonNullable<ChatOptions['responseFormat']> {
  return constraint instanceof RegExp ? { type: 'regex', pattern: constraint.source } : { type: 'json_schema', schema: constraint };
}

/** A failure under the name that the Prompt API gives it. */
function asDomException(error: unknown): unknown {
  if (error instanceof TypeError || error instanceof DOMException) return error;
  const { code, message } = asQwen3Error(error);
  const name = code === 'context-overflow' ? 'QuotaExceededError' : code === 'invalid-argument' ? 'NotSupportedError' : 'OperationError';
  return new DOMException(message, name);
}
