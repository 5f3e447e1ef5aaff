// What the embedded model scored with thinking and without, read from the table in its own README, which ships with the page.

import { make } from '../ui/dom.js';
import { say } from '../ui/messages.js';

/** How many of how many were right. */
interface Score {
  right: number;
  of: number;
}

/** A family of problems with its scores in both modes, languages together. */
interface Family {
  name: string;
  think: Score;
  off: Score;
}

/** Rows such as `| quadratic | small | think | en | 45/45 | …`. */
const ROW = /^\| *(\w+) *\| *(\w*) *\| *(think|off) *\| *\w+ *\| *(\d+)\/(\d+) *\|/gm;

/** The scores in the text of the README. */
export function readScores(readme: string): Family[] {
  const families = new Map<string, Family>();
  for (const [, family = '', range = '', mode, right, of] of readme.matchAll(ROW)) {
    const name = range === '' ? family : `${family}, ${range}`;
    const scores = families.get(name) ?? { name, think: { right: 0, of: 0 }, off: { right: 0, of: 0 } };
    const score = mode === 'think' ? scores.think : scores.off;
    score.right += Number(right);
    score.of += Number(of);
    families.set(name, scores);
  }
  return [...families.values()];
}

/** A new table of the scores. */
export async function scoreTable(): Promise<HTMLElement> {
  const readme = await fetch(new URL('../../models/tiny-math/README.md', import.meta.url));
  const families = readScores(await readme.text());
  const body = make('tbody', '', ...families.map(({ name, think, off }) => make('tr', '', rowHead(name), cell(think, 'think'), cell(off, 'off'))));
  const head = make('tr', '', say(make('th'), 'family'), say(make('th'), 'withThinking'), say(make('th'), 'withoutThinking'));
  const table = make('table', '', say(make('caption'), 'scoresCaption'), make('thead', '', head), body);
  return table;
}

function rowHead(name: string): HTMLTableCellElement {
  const head = make('th', '', name);
  head.scope = 'row';
  return head;
}

function cell({ right, of }: Score, mode: 'think' | 'off'): HTMLTableCellElement {
  const share = of === 0 ? 0 : right / of;
  const bar = make('span', `score-bar ${mode}`);
  bar.style.setProperty('--share', String(share));
  return make('td', '', bar, `${Math.round(share * 100)} %`);
}
