// The evaluation sample: problems the embedded model was not trained on, asked with thinking and without, side by side with what is right.

import type { ChatResult } from 'qwen3-web';
import { button, make } from '../ui/dom.js';
import { say } from '../ui/messages.js';
// Drawn by models/tiny-math/questions.py.
import QUESTIONS from './questions.json';

/** The two ways to ask. */
export const MODES = ['thinking', 'direct'] as const;
export type Mode = (typeof MODES)[number];

/** A problem and its right answer. */
export type Problem = (typeof QUESTIONS)[number];

/** Whether a reply states the numbers of the right answer, in their order: the rule of `is_right` in models/tiny-math/generate.py. */
export function isRight(reply: string, right: string): boolean {
  const numbers = (text: string): string => (text.replaceAll('−', '-').match(/-?[0-9]+(?:\/[0-9]+)?/g) ?? []).join(' ');
  return numbers(reply) === numbers(right) && reply.includes('√') === right.includes('√');
}

/** What came of the problems so far, in one mode. */
interface Tally {
  asked: number;
  right: number;
  tokens: number;
}

/** The table of the sample. */
export class SampleView {
  readonly element = make('div', 'scores sample');
  readonly #tallies: Readonly<Record<Mode, HTMLElement>> = { thinking: make('span', 'quiet'), direct: make('span', 'quiet') };
  readonly #cells: Readonly<Record<Mode, HTMLTableCellElement>>[] = [];

  /** `onChoose` is called with the problem whose row is pressed. */
  constructor(onChoose: (problem: Problem) => void) {
    const rows = QUESTIONS.map((problem) => {
      const cells = { thinking: make('td'), direct: make('td') };
      this.#cells.push(cells);
      const head = make('th', '', button('question-button', () => onChoose(problem), problem.question));
      head.scope = 'row';
      return make('tr', '', head, make('td', 'quiet', problem.right), ...MODES.map((mode) => cells[mode]));
    });
    const column = (mode: Mode): HTMLElement => make('th', '', say(make('span'), mode === 'thinking' ? 'withThinking' : 'withoutThinking'), this.#tallies[mode]);
    const head = make('tr', '', say(make('th'), 'problem'), say(make('th'), 'rightIs'), ...MODES.map(column));
    this.element.append(make('table', '', say(make('caption'), 'sampleCaption', { count: QUESTIONS.length }), make('thead', '', head), make('tbody', '', ...rows)));
  }

  /** Asks every problem in both modes; ends early when a reply is stopped. */
  async run(ask: (content: string, mode: Mode, seed: number) => Promise<ChatResult | undefined>, onProblem: (index: number, count: number) => void): Promise<void> {
    const tallies: Record<Mode, Tally> = { thinking: { asked: 0, right: 0, tokens: 0 }, direct: { asked: 0, right: 0, tokens: 0 } };
    for (const cell of this.#cells.flatMap((cells) => Object.values(cells))) cell.replaceChildren();
    for (const mode of MODES) this.#tallies[mode].replaceChildren();
    for (const [index, { question, right }] of QUESTIONS.entries()) {
      onProblem(index + 1, QUESTIONS.length);
      for (const mode of MODES) {
        const result = await ask(question, mode, index + 1);
        if (result === undefined || result.finishReason === 'abort') return;
        const good = isRight(result.content, right);
        const tally = tallies[mode];
        tally.asked += 1;
        tally.right += good ? 1 : 0;
        tally.tokens += result.usage.completionTokens;
        this.#cells[index]?.[mode].replaceChildren(mark(good), make('span', '', result.content.trim()));
        say(this.#tallies[mode], 'tally', { right: tally.right, of: tally.asked, tokens: Math.round(tally.tokens / tally.asked) });
      }
    }
  }
}

function mark(good: boolean): HTMLElement {
  const shape = make('span', '', good ? '✓' : '✗');
  shape.setAttribute('aria-hidden', 'true');
  return make('span', `mark ${good ? 'good' : 'bad'}`, shape, say(make('span', 'visually-hidden'), good ? 'right' : 'wrong'));
}
