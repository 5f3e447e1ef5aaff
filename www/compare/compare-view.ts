// "Compare thinking": a question, or the embedded model's evaluation sample, to the loaded model in both modes, and its published scores.

import type { ChatResult, Reply, ReplyEvent } from 'qwen3-web';
import { ReplyView } from '../chat/reply-view.js';
import type { ModelLoader } from '../models/loader.js';
import { button, make, withAttributes } from '../ui/dom.js';
import { label, say, type MessageKey } from '../ui/messages.js';
import { MODES, SampleView, type Mode } from './sample-view.js';
import { scoreTable } from './scores.js';

/** The view; it asks whatever model is loaded. */
export class CompareView {
  readonly element = make('section', 'view page compare');
  readonly #loader: ModelLoader;
  readonly #onProblem: (error: unknown) => void;
  readonly #question = make('input');
  readonly #run = say(make('button', 'primary'), 'compareRun');
  readonly #runSample = say(button('', () => void this.#askSample()), 'sampleRun');
  readonly #stop = say(button('', () => this.#reply?.abort()), 'stop');
  readonly #right = make('p', 'quiet');
  readonly #progress = make('p', 'quiet');
  readonly #columns: Readonly<Record<Mode, HTMLOListElement>> = { thinking: make('ol', 'turns'), direct: make('ol', 'turns') };
  readonly #both: HTMLElement;
  readonly #sample = new SampleView(({ question, right }) => {
    this.#question.value = question;
    this.#question.scrollIntoView({ block: 'center' });
    void this.#compare(question, right);
  });
  #busy = false;
  #reply: Reply | undefined;

  constructor(loader: ModelLoader, onProblem: (error: unknown) => void) {
    this.#loader = loader;
    this.#onProblem = onProblem;
    withAttributes(this.#question, { type: 'text', required: '' });
    label(this.#question, 'yourQuestion');
    say(this.#question, 'yourQuestion', {}, 'placeholder');
    this.#progress.setAttribute('role', 'status');
    const form = make('form', 'own', this.#question, this.#run, this.#stop);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#compare(this.#question.value.trim());
    });
    this.#both = make('div', 'columns', this.#column('thinking', 'withThinking'), this.#column('direct', 'withoutThinking'));
    this.#both.hidden = true;
    const scores = make('div', 'scores');
    this.element.append(
      say(make('h2'), 'compareThinking'), say(make('p', 'quiet'), 'compareText'),
      form, this.#right, this.#both,
      make('div', 'benchmark-row', this.#runSample, this.#progress), this.#sample.element, scores,
    );
    loader.watch(() => this.#update());
    // The scores are fetched when somebody looks.
    new IntersectionObserver((entries, observer) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      scoreTable().then((table) => scores.append(table), this.#onProblem);
    }).observe(this.element);
  }

  #column(mode: Mode, key: MessageKey): HTMLElement {
    label(this.#columns[mode], key);
    return make('section', 'column', say(make('h3'), key), this.#columns[mode]);
  }

  #update(): void {
    const idle = this.#loader.chatModel !== undefined && !this.#busy;
    for (const control of [this.#run, this.#runSample, ...this.#sample.element.querySelectorAll('button')]) control.disabled = !idle;
    this.#stop.hidden = !this.#busy;
  }

  /** One at a time; what goes wrong is told. */
  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#update();
    try {
      await work();
    } catch (error) {
      this.#onProblem(error);
    } finally {
      this.#busy = false;
      this.#reply = undefined;
      this.#progress.textContent = '';
      this.#progress.removeAttribute('data-said');
      this.#update();
    }
  }

  #askSample(): Promise<void> {
    return this.#alone(() => this.#sample.run(
      (content, mode, seed) => this.#ask(content, mode, seed, () => undefined),
      (index, count) => say(this.#progress, 'sampleProgress', { index, count }),
    ));
  }

  #compare(question: string, right?: string): Promise<void> {
    return this.#alone(async () => {
      if (question === '') return;
      this.#both.hidden = false;
      this.#right.hidden = right === undefined;
      if (right !== undefined) say(this.#right, 'rightAnswer', { answer: right });
      for (const column of Object.values(this.#columns)) column.replaceChildren();
      for (const mode of MODES) if (await this.#show(question, mode) === 'abort') return;
    });
  }

  /** Shows the reply of one mode; returns why it ended. */
  async #show(content: string, mode: Mode): Promise<string> {
    const view = new ReplyView(() => this.#reply?.skipThinking());
    this.#columns[mode].append(view.element);
    try {
      const result = await this.#ask(content, mode, 1, (event) => view.show(event));
      const device = this.#loader.model?.info.device;
      if (result !== undefined) view.end({ ...result, ...(device === undefined ? {} : { device }) });
      return result?.finishReason ?? 'abort';
    } catch (error) {
      view.fail();
      throw error;
    }
  }

  /** The reply to a question in that mode; none where no model is left to give it. */
  async #ask(content: string, mode: Mode, seed: number, onEvent: (event: ReplyEvent) => void): Promise<ChatResult | undefined> {
    const reply = this.#loader.chatModel?.chat([{ role: 'user', content }], { enableThinking: mode === 'thinking', seed });
    this.#reply = reply;
    if (reply === undefined) return undefined;
    for await (const event of reply) onEvent(event);
    return reply;
  }
}
