// The model's Markdown as safe HTML, drawn at most once a frame: finished blocks stay as they are, only the last one is parsed again.

import DOMPurify from 'dompurify';
import { Marked, type Token, type TokensList } from 'marked';
import { codeBlock, finishCode } from './code.js';
import { mathExtensions, renderMath } from './maths.js';

/** What begins a tag that is not one of these, bare, is text. */
const OTHER_TAG = /<(?!\/?(?:b|br|code|del|em|hr|i|ins|kbd|li|mark|ol|p|s|small|strong|sub|sup|u|ul)\s*\/?>)/gi;

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: mathExtensions,
  renderer: {
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
    html: ({ text }) => text.replace(OTHER_TAG, '&lt;'),
  },
});

const purify = DOMPurify();
purify.addHook('afterSanitizeAttributes', (node) => {
  // What the model writes must not look like a part of the page.
  const kept = [...node.classList].filter((name) => name.startsWith('math') || name.startsWith('language-'));
  if (node.hasAttribute('class')) node.className = kept.join(' ');
  if (node.tagName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer');
});

/** Images would be requests to other hosts, and forms have no place in an answer. */
const FORBIDDEN = ['img', 'picture', 'video', 'audio', 'source', 'svg', 'math', 'form', 'input', 'button', 'style', 'iframe', 'dialog'];
const SANITIZE = { RETURN_DOM_FRAGMENT: true as const, FORBID_TAGS: FORBIDDEN, FORBID_ATTR: ['style', 'id', 'name'] };

/** Shows Markdown that grows. */
export class MarkdownView {
  readonly element = document.createElement('div');
  #text = '';
  /** Up to here the text is shown for good, by so many nodes. */
  #finished = 0;
  #finishedNodes = 0;
  /** The text of a code block that is still being written, and how much of the code it shows. */
  #openCode: Text | undefined;
  #links: TokensList['links'] = {};
  #frame: number | undefined;
  /** When the next parse may begin. */
  #notBefore = 0;

  constructor(className: string) {
    this.element.className = className;
  }

  get text(): string {
    return this.#text;
  }

  /** Takes more of the text; it shows with the next frame. */
  append(text: string): void {
    this.#text += text;
    this.#frame ??= requestAnimationFrame((now) => this.#draw(now));
  }

  /** Shows all there is now, for good. */
  finish(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    // An address that was given after the text it belongs to.
    if (Object.keys(this.#links).length > 0) {
      this.#finished = 0;
      this.#finishedNodes = 0;
    }
    this.#parse(true);
  }

  /** The page has more to do: at most a quarter of its time goes here. */
  #draw(now: number): void {
    this.#frame = undefined;
    if (now < this.#notBefore) {
      this.#frame = requestAnimationFrame((next) => this.#draw(next));
      return;
    }
    const start = performance.now();
    this.#parse(false);
    const end = performance.now();
    this.#notBefore = end + 3 * (end - start);
  }

  #parse(whole: boolean): void {
    const tokens = this.#lex(this.#text.slice(this.#finished));
    const last = tokens.findLastIndex((token) => token.type !== 'space');
    const [open] = tokens.slice(last);
    if (!whole && last === 0 && open !== undefined && this.#extendCode(open)) return;
    this.#dropUnfinished();
    const boundary = whole ? tokens.length : Math.max(0, last);
    const done = tokens.slice(0, boundary);
    this.#append(done, true);
    this.#finished += done.reduce((sum, token) => sum + token.raw.length, 0);
    this.#finishedNodes = this.element.childNodes.length;
    if (open !== undefined && !whole) this.#append([open], false);
  }

  #lex(text: string): Token[] {
    const lexer = new marked.Lexer(marked.defaults);
    lexer.tokens.links = this.#links;
    return lexer.lex(text);
  }

  /** Most of a long program is written one token at a time into the same element. */
  #extendCode(open: Token): boolean {
    const shown = this.#openCode;
    if (shown === undefined || open.type !== 'code' || !('text' in open) || typeof open.text !== 'string') return false;
    if (!open.text.startsWith(shown.data)) return false;
    shown.appendData(open.text.slice(shown.length));
    return true;
  }

  #dropUnfinished(): void {
    this.#openCode = undefined;
    while (this.element.childNodes.length > this.#finishedNodes) this.element.lastChild?.remove();
  }

  #append(tokens: Token[], finished: boolean): void {
    if (tokens.length === 0) return;
    const html = marked.parser(tokens, marked.defaults);
    const fragment = purify.sanitize(html, SANITIZE);
    for (const pre of fragment.querySelectorAll('pre')) {
      const code = codeBlock(pre);
      if (finished) finishCode(code);
      else if (tokens[0]?.type === 'code' && code.firstChild instanceof Text) {
        this.#openCode = code.firstChild;
        this.#openCode.data = this.#openCode.data.replace(/\n$/, '');
      }
    }
    for (const table of fragment.querySelectorAll('table')) {
      const frame = document.createElement('div');
      frame.className = 'table';
      frame.tabIndex = 0;
      table.replaceWith(frame);
      frame.append(table);
    }
    renderMath(fragment.querySelectorAll<HTMLElement>('.math'));
    this.element.append(fragment);
  }
}
