// "Compare thinking": one question to the loaded model in both modes, side by side, and what the embedded model scored in each.

import type { Reply } from 'qwen3-web';
import { ReplyView } from '../chat/reply-view.js';
import type { ModelLoader } from '../models/loader.js';
import { button, make, withAttributes } from '../ui/dom.js';
import { label, say, type MessageKey } from '../ui/messages.js';
import { scoreTable } from './scores.js';

/** Problems of the families the embedded model was trained on, with what is right. */
const PROBLEMS = [
  { question: 'Solve 2x² − 3x − 9 = 0', right: 'x₁ = 3, x₂ = −3/2' },
  { question: 'Solve 3x² + 5x − 2 = 0', right: 'x₁ = 1/3, x₂ = −2' },
  { question: 'Solve 5x + 3 = 2x + 18', right: 'x = 5' },
  { question: 'What is 7 × 8 + 12?', right: '68' },
] as const;

/** The view; it asks whatever model is loaded. */
export class CompareView {
  readonly element = make('section', 'view page compare');
  readonly #loader: ModelLoader;
  readonly #onProblem: (error: unknown) => void;
  readonly #question = make('input');
  readonly #run = say(make('button', 'primary'), 'compareRun');
  readonly #right = make('p', 'quiet');
  readonly #columns: Readonly<Record<'thinking' | 'direct', HTMLOListElement>> = { thinking: make('ol', 'turns'), direct: make('ol', 'turns') };
  readonly #scores = make('div', 'scores');
  #reply: Reply | undefined;

  constructor(loader: ModelLoader, onProblem: (error: unknown) => void) {
    this.#loader = loader;
    this.#onProblem = onProblem;
    withAttributes(this.#question, { type: 'text', required: '' });
    label(this.#question, 'yourQuestion');
    const form = make('form', 'own', this.#question, this.#run, say(button('', () => this.#reply?.abort()), 'stop'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#compare(this.#question.value.trim());
    });
    const samples = PROBLEMS.map(({ question }) => button('', () => {
      this.#question.value = question;
      void this.#compare(question);
    }, question));
    this.element.append(
      say(make('h2'), 'compareThinking'), say(make('p', 'quiet'), 'compareText'),
      form, make('div', 'samples', ...samples), this.#right,
      make('div', 'columns', this.#column('thinking', 'withThinking'), this.#column('direct', 'withoutThinking')),
      this.#scores,
    );
    loader.watch(() => this.#update());
    // The scores are fetched when somebody looks.
    new IntersectionObserver((entries, observer) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      scoreTable().then((table) => this.#scores.append(table), this.#onProblem);
    }).observe(this.element);
  }

  #column(name: 'thinking' | 'direct', key: MessageKey): HTMLElement {
    label(this.#columns[name], key);
    return make('section', 'column', say(make('h3'), key), this.#columns[name]);
  }

  #update(): void {
    const idle = this.#loader.model !== undefined && this.#reply === undefined;
    for (const control of this.element.querySelectorAll<HTMLButtonElement>('.samples button')) control.disabled = !idle;
    this.#run.disabled = !idle;
  }

  async #compare(question: string): Promise<void> {
    if (question === '' || this.#reply !== undefined) return;
    const known = PROBLEMS.find((problem) => problem.question === question);
    this.#right.hidden = known === undefined;
    if (known !== undefined) say(this.#right, 'rightAnswer', { answer: known.right });
    for (const column of Object.values(this.#columns)) column.replaceChildren();
    try {
      for (const name of ['thinking', 'direct'] as const) {
        if (await this.#answer(question, name) === 'abort') break;
      }
    } catch (error) {
      this.#onProblem(error);
    } finally {
      this.#reply = undefined;
      this.#update();
    }
  }

  /** Shows the reply of one mode; returns why it ended. */
  async #answer(content: string, name: 'thinking' | 'direct'): Promise<string> {
    const model = this.#loader.model;
    if (model === undefined) return 'abort';
    const reply = model.chat([{ role: 'user', content }], { enableThinking: name === 'thinking', seed: 1 });
    this.#reply = reply;
    this.#update();
    const view = new ReplyView(() => reply.skipThinking());
    this.#columns[name].append(view.element);
    try {
      for await (const event of reply) view.show(event);
    } catch (error) {
      view.fail();
      throw error;
    }
    const result = await reply;
    view.end({ ...result, device: model.info.device });
    return result.finishReason;
  }
}
