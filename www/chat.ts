// The conversation: turns on the page, the reply under way, and what a screen reader is told of it.

import { Qwen3Error, type ChatOptions, type Message, type Model, type Reply, type ReplyEvent } from 'qwen3-web';
import { button, element, make } from './dom.js';
import { rate } from './format.js';
import { ReplyView } from './reply-view.js';

const SUGGESTIONS = ['What is 7 × 8 + 12?', 'Solve 3x² + 5x − 2 = 0', 'A train goes 180 km in 2 hours. How fast is it?'];

/** The chat of the page. */
export class Chat {
  readonly #turns = element('turns', HTMLOListElement);
  readonly #scroller = element('turns', HTMLOListElement).closest('main');
  readonly #welcome = element('welcome', HTMLElement);
  readonly #prompt = element('prompt', HTMLTextAreaElement);
  readonly #thinking = element('thinking', HTMLInputElement);
  readonly #send = element('send', HTMLButtonElement);
  readonly #stop = element('stop', HTMLButtonElement);
  readonly #speed = element('speed', HTMLElement);
  readonly #announce = element('announce', HTMLElement);
  readonly #onProblem: (error: unknown) => void;
  #messages: Message[] = [];
  #model: Model | undefined;
  #reply: Reply | undefined;
  /** The end of the conversation stays in view, until somebody scrolls away from it. */
  #following = true;
  #frame: number | undefined;

  constructor(onProblem: (error: unknown) => void) {
    this.#onProblem = onProblem;
    element('composer', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener('keydown', (event) => {
      // While an input method composes, Enter belongs to it.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener('input', () => this.#update());
    this.#stop.addEventListener('click', () => this.#reply?.abort());
    this.#scroller?.addEventListener('scroll', () => {
      this.#following = this.#atEnd();
    }, { passive: true });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && document.querySelector('dialog[open]') === null) this.#reply?.abort();
    });
    element('new-chat', HTMLButtonElement).addEventListener('click', () => this.clear());
    const suggestions = SUGGESTIONS.map((text) => button(text, () => {
      this.#prompt.value = text;
      this.#submit();
    }));
    element('suggestions', HTMLElement).append(...suggestions);
    this.#update();
  }

  /** The model that answers from now on; none while one is loaded. */
  set model(model: Model | undefined) {
    this.#reply?.abort();
    this.#model = model;
    this.#update();
  }

  /** Begins a new conversation. */
  clear(): void {
    this.#reply?.abort();
    this.#reply = undefined;
    this.#messages = [];
    this.#turns.replaceChildren();
    this.#welcome.hidden = false;
    this.#speed.textContent = '';
    this.#update();
    this.#prompt.focus();
  }

  /** Asks the model, shows the reply, and passes on its events. */
  async *ask(prompt: string, options: ChatOptions = {}): AsyncGenerator<ReplyEvent, void> {
    const model = this.#model;
    if (model === undefined) throw new Qwen3Error('busy', 'no model is loaded');
    this.#welcome.hidden = true;
    const question = make('li', 'turn user');
    question.append(make('p', '', prompt));
    this.#messages.push({ role: 'user', content: prompt });
    const messages = this.#messages;
    const reply = model.chat(messages, { enableThinking: this.#thinking.checked, ...options });
    const view = new ReplyView(reply);
    this.#turns.append(question, view.element);
    this.#reply = reply;
    this.#update();
    this.#following = true;
    const speed = new Speedometer(this.#speed);
    let phase = '';
    try {
      for await (const event of reply) {
        view.show(event, model.info.device);
        speed.take(event);
        this.#frame ??= requestAnimationFrame(() => this.#follow());
        if ((event.type === 'thinking' || event.type === 'content') && event.type !== phase) {
          phase = event.type;
          this.#announce.textContent = phase === 'thinking' ? 'Thinking' : 'Answering';
        }
        if (event.type === 'done') {
          const { content, thinking } = event.result;
          messages.push({ role: 'assistant', content, ...(thinking === '' ? {} : { thinking }) });
          // Once, when it is whole: a region that changes with every token stutters.
          this.#announce.textContent = content === '' ? 'The reply has ended.' : content;
          this.#end(reply);
        }
        yield event;
      }
    } catch (error) {
      view.fail();
      messages.pop();
      throw error;
    } finally {
      this.#end(reply);
    }
  }

  #submit(): void {
    const prompt = this.#prompt.value.trim();
    if (prompt === '' || this.#model === undefined || this.#reply !== undefined) return;
    this.#prompt.value = '';
    void this.#run(prompt);
  }

  async #run(prompt: string): Promise<void> {
    try {
      for await (const event of this.ask(prompt)) {
        if (event.type === 'done') this.#prompt.focus({ preventScroll: true });
      }
    } catch (error) {
      this.#onProblem(error);
    }
  }

  #end(reply: Reply): void {
    if (this.#reply !== reply) return;
    this.#reply = undefined;
    this.#update();
  }

  #update(): void {
    const running = this.#reply !== undefined;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    this.#send.disabled = this.#model === undefined || this.#prompt.value.trim() === '';
    for (const suggestion of document.querySelectorAll<HTMLButtonElement>('#suggestions button')) suggestion.disabled = this.#model === undefined;
  }

  #atEnd(): boolean {
    const main = this.#scroller;
    return main === null || main.scrollHeight - main.scrollTop - main.clientHeight < 120;
  }

  #follow(): void {
    this.#frame = undefined;
    if (this.#following) this.#scroller?.scrollTo({ top: this.#scroller.scrollHeight, behavior: 'instant' });
  }
}

/** Shows the speed while a reply runs: one delta is about one token. */
class Speedometer {
  readonly #element: HTMLElement;
  #first: number | undefined;
  #deltas = 0;
  #shown = 0;

  constructor(element: HTMLElement) {
    this.#element = element;
    element.textContent = '';
  }

  take(event: ReplyEvent): void {
    if (event.type === 'prefill' && event.processed < event.total) this.#element.textContent = `reading ${event.processed} of ${event.total} tokens`;
    if (event.type === 'done') this.#element.textContent = `${rate(event.result.timings.decodeTokensPerSecond)} tokens/s`;
    if (event.type !== 'thinking' && event.type !== 'content') return;
    const now = performance.now();
    this.#first ??= now;
    this.#deltas += 1;
    const elapsed = now - this.#first;
    if (elapsed < 200 || now - this.#shown < 250) return;
    this.#shown = now;
    this.#element.textContent = `${rate(((this.#deltas - 1) / elapsed) * 1000)} tokens/s`;
  }
}
