// KaTeX with its style sheet and fonts, all from the page's own folder; a chunk of its own, loaded with the first formula.

import katex from 'katex';

// Named so that they are shipped, in the place where the style sheet looks for them.
import.meta.webpackContext('../../node_modules/katex/dist/fonts', { regExp: /\.woff2$/ });

const sheet = document.createElement('link');
sheet.rel = 'stylesheet';
sheet.href = new URL('katex/dist/katex.min.css', import.meta.url).href;
document.head.append(sheet);

/** Sets one formula into an element. What the model writes is not trusted: no links, no endless macros. */
export function render(source: string, element: HTMLElement): void {
  const displayMode = element.classList.contains('math-display');
  katex.render(source, element, { displayMode, throwOnError: false, trust: false, strict: 'ignore', maxExpand: 200, maxSize: 20 });
}
