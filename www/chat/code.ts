// Code in an answer: a head with its language and a copy button, and colours once it is whole.

import { make } from '../ui/dom.js';
import { copyButton } from './copy.js';

/** Colouring a longer text would keep the page from drawing. */
const LONGEST_COLOURED = 30_000;

/** Puts a head over a `pre`; returns the element that holds the code. */
export function codeBlock(pre: HTMLPreElement): HTMLElement {
  const code = pre.querySelector('code') ?? pre;
  const block = make('div', 'code');
  pre.replaceWith(block);
  pre.tabIndex = 0;
  block.append(make('div', 'code-head', make('span', '', languageOf(code)), copyButton(() => code.textContent.replace(/\n$/, ''))), pre);
  return code;
}

/** Colours code that will not change any more, if its language is known. */
export function finishCode(code: HTMLElement): void {
  const language = languageOf(code);
  const source = code.textContent;
  if (language === '' || source.length > LONGEST_COLOURED) return;
  import(/* webpackChunkName: "highlight" */ './highlight.js').then(({ colour }) => {
    const coloured = colour(source, language);
    if (coloured !== undefined) code.replaceChildren(coloured);
  }).catch(() => undefined);
}

function languageOf(code: Element): string {
  const name = [...code.classList].find((name) => name.startsWith('language-')) ?? '';
  return name.slice('language-'.length);
}
