// One reply: thinking, tool calls and answer in the order they came, then its figures and what can be done with it.

import type { ChatResult, Device, ReplyEvent } from 'qwen3-web';
import { make } from '../ui/dom.js';
import { rate, seconds } from '../ui/format.js';
import { say, text } from '../ui/messages.js';
import type { Answer } from './conversations.js';
import { MarkdownView } from './markdown.js';
import { ThinkingView } from './thinking.js';
import { ToolCallView } from './tool-call.js';

/** Shows a reply as its events come in, or one that was kept. */
export class ReplyView {
  readonly element = make('li', 'turn assistant');
  /** Where the page puts buttons, under the reply. */
  readonly foot = make('div', 'turn-foot');
  readonly #body = make('div', 'reply');
  readonly #skip: () => void;
  readonly #thoughts: ThinkingView[] = [];
  readonly #calls: ToolCallView[] = [];
  #answer: MarkdownView | undefined;

  constructor(skipThinking: () => void = () => undefined) {
    this.#skip = skipThinking;
    this.element.append(this.#body, this.foot);
    this.element.setAttribute('aria-busy', 'true');
  }

  /** How long each block of thinking took. */
  get thinkingMs(): number[] {
    return this.#thoughts.map((view) => view.ms);
  }

  /** Takes one event. */
  show(event: ReplyEvent): void {
    switch (event.type) {
      case 'thinking':
        this.#think(event.text);
        break;
      case 'content':
        this.#say(event.text);
        break;
      case 'toolCall':
        this.#call(event.id, event.name, event.arguments);
        break;
      case 'toolResult':
        this.result(event.toolCallId, event.content, event.isError);
        break;
      case 'notice':
        this.#body.append(make('p', 'notice', event.message));
        break;
      case 'prefill':
      case 'toolCallDelta':
      case 'done':
        break;
    }
  }

  /** Shows a reply that was kept. */
  restore(answer: Answer): void {
    let thoughts = 0;
    for (const message of answer.messages) {
      if (message.role === 'tool') this.result(message.toolCallId ?? '', message.content);
      else {
        if (message.thinking !== undefined && message.thinking !== '') {
          const view = this.#addThinking(new ThinkingView());
          view.append(message.thinking);
          view.end(answer.thinkingMs[thoughts++] ?? 0);
        }
        if (message.content !== '') this.#say(message.content);
        for (const call of message.toolCalls ?? []) this.#call(call.id, call.name, call.arguments);
      }
    }
    if (answer.figures === undefined) this.fail();
    else this.end(answer.figures);
  }

  /** Shows what a tool gave. */
  result(id: string, output: string, failed = false): void {
    this.#calls.findLast((view) => view.id === id)?.result(output, failed);
  }

  /** Ends a reply that is whole, or was stopped. */
  end({ finishReason, usage, timings, device }: Pick<ChatResult, 'finishReason' | 'usage' | 'timings'> & { device?: Device }): void {
    this.#close();
    if (this.#thoughts.length === 1) this.#thoughts[0]?.count(usage.thinkingTokens);
    if (finishReason === 'length') this.#body.append(say(make('p', 'notice'), 'limitReached'));
    if (finishReason === 'abort') this.#body.append(say(make('p', 'notice'), 'stopped'));
    if (usage.completionTokens === 0) return;
    this.foot.append(make('p', 'stats', [
      text('tokensPerSecond', { rate: rate(timings.decodeTokensPerSecond) }),
      text('firstTokenAfter', { time: seconds(timings.timeToFirstTokenMs / 1000) }),
      text('tokens', { count: usage.completionTokens }),
      ...(device === undefined ? [] : [device === 'webgpu' ? 'WebGPU' : 'CPU']),
    ].join(' · ')));
  }

  /** Ends a reply that failed. */
  fail(): void {
    this.#close();
    this.#body.append(say(make('p', 'notice'), 'interrupted'));
  }

  #close(): void {
    this.#endThinking();
    this.#answer?.finish();
    this.#answer = undefined;
    this.element.removeAttribute('aria-busy');
  }

  #think(text: string): void {
    const last = this.#thoughts.at(-1);
    const open = last !== undefined && 'live' in last.element.dataset ? last : this.#addThinking(new ThinkingView(this.#skip));
    open.append(text);
  }

  #addThinking(view: ThinkingView): ThinkingView {
    this.#answer?.finish();
    this.#answer = undefined;
    this.#thoughts.push(view);
    this.#body.append(view.element);
    return view;
  }

  #endThinking(): void {
    this.#thoughts.at(-1)?.end();
  }

  #say(text: string): void {
    if (this.#answer === undefined) {
      this.#endThinking();
      this.#answer = new MarkdownView('answer');
      this.#body.append(this.#answer.element);
    }
    this.#answer.append(text);
  }

  #call(id: string, name: string, given: Record<string, unknown> | string): void {
    this.#endThinking();
    this.#answer?.finish();
    this.#answer = undefined;
    const view = new ToolCallView(id, name, given);
    this.#calls.push(view);
    this.#body.append(view.element);
  }
}
