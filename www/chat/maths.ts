// Maths in an answer: $…$, $$…$$, \(…\) and \[…\] as tokens of the parser, set by KaTeX, which is loaded with the first formula.

import type { MarkedExtension } from 'marked';

type Extensions = NonNullable<MarkedExtension['extensions']>;

/** As Pandoc reads dollars: no space inside them, no digit after the last, so that prices stay prices. */
const INLINE = /^(?:\$(?![\s$])((?:\\.|[^\\$\n])+?)(?<![\s\\])\$(?![\d$])|\\\(((?:.|\n(?!\n))+?)\\\))/;
const DISPLAY_TEX = String.raw`\$\$((?:.|\n(?!\n))+?)\$\$|\\\[((?:.|\n(?!\n))+?)\\\]`;
const DISPLAY = new RegExp(`^(?:${DISPLAY_TEX})`);
const DISPLAY_BLOCK = new RegExp(`^ {0,3}(?:${DISPLAY_TEX})[ \\t]*(?:\\n|$)`);

function escape(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function start(source: string): number | undefined {
  const at = source.search(/\$|\\[([]/);
  return at < 0 ? undefined : at;
}

/** The formulas as the parser sees them: elements of class `math` that hold TeX. */
export const mathExtensions: Extensions = [
  {
    name: 'displayMath',
    level: 'block',
    tokenizer(source) {
      const match = DISPLAY_BLOCK.exec(source);
      return match === null ? undefined : { type: 'displayMath', raw: match[0], text: match[1] ?? match[2] ?? '' };
    },
    renderer: (token) => `<p class="math math-display">${escape(String(token['text']))}</p>`,
  },
  {
    name: 'inlineMath',
    level: 'inline',
    start,
    tokenizer(source) {
      const display = DISPLAY.exec(source);
      const match = display ?? INLINE.exec(source);
      if (match === null) return undefined;
      return { type: 'inlineMath', raw: match[0], text: match[1] ?? match[2] ?? '', display: display !== null };
    },
    renderer: (token) => `<span class="math${token['display'] === true ? ' math-display' : ''}">${escape(String(token['text']))}</span>`,
  },
];

/** Sets formulas; they show as TeX until KaTeX is there, and stay so if it does not come. */
export function renderMath(formulas: Iterable<HTMLElement>): void {
  for (const formula of formulas) {
    const source = formula.textContent;
    if (katex === undefined) load();
    if (typeof katex === 'function') katex(source, formula);
    else waiting.push([source, formula]);
  }
}

type Render = (source: string, element: HTMLElement) => void;

let katex: Render | 'loading' | undefined;
let waiting: [source: string, element: HTMLElement][] = [];

function load(): void {
  katex = 'loading';
  import(/* webpackChunkName: "katex" */ './katex.js').then(({ render }) => {
    katex = render;
    for (const [source, element] of waiting) render(source, element);
    waiting = [];
  }).catch(() => {
    katex = undefined;
  });
}
