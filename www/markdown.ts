// The model's Markdown as safe HTML: parsed by marked, cleaned by DOMPurify, drawn at most once a frame.

import DOMPurify from 'dompurify';
import { marked } from 'marked';

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer');
});

/** Images would be requests to other hosts, and forms have no place in an answer. */
const FORBIDDEN = ['img', 'picture', 'video', 'audio', 'source', 'svg', 'math', 'form', 'input', 'button', 'style', 'iframe'];

/** Shows Markdown that grows. */
export class MarkdownView {
  readonly element = document.createElement('div');
  #text = '';
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

  /** A long text takes long to parse, and the page has more to do: at most a quarter of its time goes here. */
  #draw(now: number): void {
    if (now < this.#notBefore) {
      this.#frame = requestAnimationFrame((next) => this.#draw(next));
      return;
    }
    this.flush();
    const end = performance.now();
    this.#notBefore = end + 3 * (end - now);
  }

  /** Shows now what there is. */
  flush(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    const html = marked.parse(this.#text, { async: false, gfm: true, breaks: true });
    this.element.replaceChildren(DOMPurify.sanitize(html, { RETURN_DOM_FRAGMENT: true, FORBID_TAGS: FORBIDDEN, FORBID_ATTR: ['style'] }));
  }
}
