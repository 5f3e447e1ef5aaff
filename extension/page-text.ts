// The text of a web page as a person reads it: the article where there is one, otherwise all that shows.

import { isProbablyReaderable, Readability } from '@mozilla/readability';

/** What was read of a page. */
export interface PageText {
  title: string;
  url: string;
  text: string;
}

/** Elements that stand on lines of their own, and how these begin. */
const BLOCKS: Readonly<Record<string, string>> = {
  ADDRESS: '', ARTICLE: '', ASIDE: '', BLOCKQUOTE: '', BR: '', DD: '', DIV: '', DL: '', DT: '', FIGCAPTION: '', FIGURE: '', FOOTER: '',
  H1: '# ', H2: '## ', H3: '### ', H4: '#### ', H5: '##### ', H6: '###### ', HEADER: '', HR: '', LI: '- ', MAIN: '', OL: '', P: '',
  PRE: '', SECTION: '', TABLE: '', TR: '', UL: '',
};

/** Reads the document at hand. */
export function readPage(): PageText {
  const { title, location } = document;
  // Readability takes the document it is given apart.
  const copy = document.cloneNode(true);
  const article = copy instanceof Document && isProbablyReaderable(document) ? new Readability<Node>(copy, { serializer: (node) => node }).parse() : null;
  const text = article?.content ? tidy(textOf(article.content)) : tidy(document.body.innerText);
  return { title: article?.title || title, url: location.href, text };
}

function textOf(node: Node): string {
  if (node instanceof Text) return node.parentElement?.closest('pre') ? node.data : node.data.replace(/\s+/g, ' ');
  if (!(node instanceof Element)) return '';
  const inner = Array.from(node.childNodes, textOf).join('');
  const start = BLOCKS[node.tagName];
  if (start !== undefined) return `\n${start}${start === '' ? inner : inner.trimStart()}\n`;
  return node.tagName === 'TD' || node.tagName === 'TH' ? `${inner.trim()} | ` : inner;
}

/** One empty line at most between paragraphs, no space at the ends of lines. */
function tidy(text: string): string {
  return text.replace(/[^\S\n]+\n/g, '\n').replace(/\n[^\S\n]*(?=\n)/g, '\n').replace(/\n{3,}/g, '\n\n').trim();
}
