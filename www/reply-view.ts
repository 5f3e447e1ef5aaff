// One reply on the page: the thinking in a panel that folds when the answer starts, the answer, and its figures.

import type { ChatResult, Device, Reply, ReplyEvent } from 'qwen3-web';
import { button, make } from './dom.js';
import { rate, seconds } from './format.js';
import { MarkdownView } from './markdown.js';

/** Shows a {@link Reply} as its events come in. */
export class ReplyView {
  readonly element = make('li', 'turn assistant');
  readonly #answer = new MarkdownView('answer');
  readonly #thoughts = make('details', 'thoughts');
  readonly #thoughtsLabel = make('summary', '', 'Reading');
  readonly #thoughtsText = make('div', 'text');
  readonly #thoughtsNode = document.createTextNode('');
  readonly #skip: HTMLButtonElement;
  #thinkingSince: number | undefined;
  #userToggled = false;
  #newThoughts = '';
  #frame: number | undefined;

  constructor(reply: Reply) {
    this.#skip = button('Answer now', () => reply.skipThinking());
    this.#thoughtsText.append(this.#thoughtsNode);
    this.#thoughts.append(this.#thoughtsLabel, this.#thoughtsText, this.#skip);
    this.#thoughts.hidden = true;
    this.#thoughtsLabel.addEventListener('click', () => {
      this.#userToggled = true;
    });
    this.element.append(this.#thoughts, this.#answer.element);
    this.element.setAttribute('aria-busy', 'true');
  }

  /** Takes one event. */
  show(event: ReplyEvent, device: Device): void {
    switch (event.type) {
      case 'thinking':
        this.#think(event.text);
        break;
      case 'content':
        this.#endThinking();
        this.#answer.append(event.text);
        break;
      case 'toolCall':
        this.#endThinking();
        this.element.append(make('p', 'notice', `calls ${event.name}(${JSON.stringify(event.arguments)})`));
        break;
      case 'notice':
        this.element.append(make('p', 'notice', event.message));
        break;
      case 'done':
        this.#end(event.result, device);
        break;
      case 'prefill':
      case 'toolCallDelta':
        break;
    }
  }

  /** Ends a reply that failed. */
  fail(): void {
    this.#endThinking();
    this.#answer.flush();
    this.element.removeAttribute('aria-busy');
  }

  #think(text: string): void {
    if (this.#thinkingSince === undefined) {
      this.#thinkingSince = performance.now();
      this.#thoughtsLabel.textContent = 'Thinking';
      this.#thoughts.dataset['live'] = '';
      this.#thoughts.hidden = false;
      this.#thoughts.open = true;
    }
    // Tokens may come far faster than frames: the page is touched once a frame.
    this.#newThoughts += text;
    this.#frame ??= requestAnimationFrame(() => this.#showThoughts());
  }

  #showThoughts(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    const box = this.#thoughtsText;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    this.#thoughtsNode.appendData(this.#newThoughts);
    this.#newThoughts = '';
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  #endThinking(): void {
    if (!('live' in this.#thoughts.dataset)) return;
    delete this.#thoughts.dataset['live'];
    this.#showThoughts();
    const elapsed = (performance.now() - (this.#thinkingSince ?? 0)) / 1000;
    this.#thoughtsLabel.textContent = `Thought for ${seconds(elapsed)}`;
    this.#skip.remove();
    // Somebody who opened or closed it by hand has decided already.
    if (!this.#userToggled) this.#thoughts.open = false;
  }

  #end(result: ChatResult, device: Device): void {
    this.#endThinking();
    this.#answer.flush();
    this.element.removeAttribute('aria-busy');
    const { usage, timings, finishReason } = result;
    if (usage.thinkingTokens > 0) this.#thoughtsLabel.append(` · ${usage.thinkingTokens} tokens`);
    if (finishReason === 'length') this.element.append(make('p', 'notice', 'The reply ends here because its limit of tokens is reached.'));
    if (finishReason === 'abort') this.element.append(make('p', 'notice', 'Stopped.'));
    const figures = [
      `${rate(timings.decodeTokensPerSecond)} tokens/s`,
      `first token after ${seconds(timings.timeToFirstTokenMs / 1000)}`,
      `${usage.completionTokens} tokens`,
      device === 'webgpu' ? 'WebGPU' : 'CPU',
    ];
    if (usage.completionTokens > 0) this.element.append(make('p', 'stats quiet', figures.join(' · ')));
  }
}
