// A conversation of several turns: its memory is an array of messages. The model's cache keeps what it has read of them.

import type { ChatModel, ChatOptions, ChatResult, Message } from 'qwen3-web';

/** A conversation that remembers. */
export class Conversation {
  readonly messages: Message[];
  readonly #model: ChatModel;
  readonly #options: ChatOptions;

  constructor(model: ChatModel, system: string, options: ChatOptions = {}) {
    this.#model = model;
    this.#options = { onContextOverflow: 'dropOldestTurns', ...options };
    this.messages = [{ role: 'system', content: system }];
  }

  /** Says something and hears the answer; a failed question is not remembered. */
  async say(content: string, onText?: (text: string) => void): Promise<ChatResult> {
    const question: Message = { role: 'user', content };
    const reply = this.#model.chat([...this.messages, question], this.#options);
    if (onText !== undefined) reply.on('content', ({ text }) => onText(text));
    const result = await reply;
    this.messages.push(question, { role: 'assistant', content: result.content, thinking: result.thinking });
    return result;
  }
}
