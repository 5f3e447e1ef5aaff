// A model behind a vLLM, SGLang or llama.cpp server, with the calls of a loaded one; what speaks to it is loaded with the first call.

import { Qwen3Error } from '../errors.js';
import { checkChatOptions, checkConnectOptions, checkMessages } from '../options.js';
import { Reply } from '../reply.js';
import { run } from '../run/run.js';
import type { ChatModel, ChatOptions, ConnectOptions, Message, RunOptions, RunResult } from '../types.js';
import type { Prompt } from './request.js';

/** Takes the place of `loadModel` where a server has the model. Nothing is asked of it yet. */
export function connect(options: ConnectOptions): RemoteModel {
  return new RemoteModel(options);
}

/** A model behind a server. */
export class RemoteModel implements ChatModel {
  readonly info: { readonly name: string };
  readonly #options: ConnectOptions;
  readonly #ended = new AbortController();

  /** Use `connect`. */
  constructor(options: ConnectOptions) {
    checkConnectOptions(options);
    this.#options = { ...options };
    this.info = { name: options.model };
  }

  /** Answers a conversation, whose last message is the user's or a tool's. */
  chat(messages: Message[], options: ChatOptions = {}): Reply {
    return this.#start({ messages }, options);
  }

  /** `chat` in a loop: carries out the tools that are called, until there is an answer. */
  run(messages: Message[], options: RunOptions): Reply<RunResult> {
    return run(this, messages, options);
  }

  /** Goes on from a raw text, without a chat template. */
  complete(prompt: string, options: ChatOptions = {}): Reply {
    return this.#start({ text: prompt }, options);
  }

  /** How many tokens the prompt of a conversation has; rejects with `remote-error` where the server cannot tell. */
  async countTokens(messages: Message[], options: ChatOptions = {}): Promise<number> {
    const { countTokens } = await import('./remote.js');
    return countTokens(this.#options, messages, options);
  }

  /** Ends the replies under way. */
  async unload(): Promise<void> {
    this.#ended.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unload();
  }

  #start(prompt: Prompt, options: ChatOptions): Reply {
    const stop = new AbortController();
    const abort = (): void => stop.abort();
    let skip = abort;
    const skipped = new Promise<void>((resolve) => { skip = resolve; });
    return new Reply({ abort, skipThinking: skip }, (sink) => {
      if ('messages' in prompt) checkMessages(prompt.messages);
      checkChatOptions(options);
      const signals = [options.signal, this.#ended.signal];
      if (this.#ended.signal.aborted) return sink.fail(new Qwen3Error('invalid-argument', 'the model has been unloaded', { hint: 'connect again' }));
      for (const signal of signals) signal?.addEventListener('abort', abort, { once: true });
      if (options.signal?.aborted === true) abort();
      import('./remote.js')
        .then(({ reply }) => reply(this.#options, prompt, options, { signal: stop.signal, skipped, emit: (event) => sink.event(event) }))
        .catch((error: unknown) => sink.fail(error))
        .finally(() => signals.forEach((signal) => signal?.removeEventListener('abort', abort)));
    });
  }
}
