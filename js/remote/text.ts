// The text of a server's reply, sorted into thinking and content: from fields of their own, or from `<think>` tags in the content.

const OPEN = '<think>';
const CLOSE = '</think>';

/** Takes text as it comes, tells it on without tags and without the newlines that belong to them, and keeps all of it. */
export class ReplyText {
  thinking = '';
  content = '';
  readonly #emit: (type: 'thinking' | 'content', text: string) => void;
  /** Newlines at the end of the thinking so far: they count if more follows. */
  #newlines = '';
  #tags: 'before' | 'inside' | 'after' = 'before';
  /** What may be the beginning of a tag. */
  #held = '';
  #thought = false;

  constructor(emit: (type: 'thinking' | 'content', text: string) => void) {
    this.#emit = emit;
  }

  /** Whether the last word was a thought. */
  get isThinking(): boolean {
    return this.#thought && this.content === '';
  }

  /** More thinking, told apart by the server. */
  think(text: string): void {
    this.#thought = true;
    const whole = this.thinking === '' ? text.replace(/^\n+/, '') : this.#newlines + text;
    const body = whole.replace(/\n+$/, '');
    this.#newlines = whole.slice(body.length);
    if (body === '') return;
    this.thinking += body;
    this.#emit('thinking', body);
  }

  /** More content, in which the thinking may stand between tags. */
  say(text: string): void {
    this.#held += text;
    if (this.#tags === 'before') {
      const start = this.#held.trimStart();
      if (OPEN.startsWith(start)) return;
      this.#tags = start.startsWith(OPEN) ? 'inside' : 'after';
      if (this.#tags === 'inside') this.#held = start.slice(OPEN.length);
    }
    if (this.#tags === 'inside') {
      const [thought = '', ...rest] = this.#held.split(CLOSE);
      const tail = rest.length > 0 ? 0 : tagBegun(thought);
      this.think(thought.slice(0, thought.length - tail));
      this.#held = rest.length > 0 ? rest.join(CLOSE) : thought.slice(thought.length - tail);
      if (rest.length === 0) return;
      this.#tags = 'after';
    }
    this.#release();
  }

  /** Nothing more comes. */
  finish(): void {
    if (this.#tags === 'inside') this.think(this.#held);
    else this.#release();
    this.#held = '';
  }

  #release(): void {
    const text = this.content === '' && this.#thought ? this.#held.replace(/^\n+/, '') : this.#held;
    this.#held = '';
    if (text === '') return;
    this.content += text;
    this.#emit('content', text);
  }
}

/** How many characters at the end of a text may be the beginning of the closing tag. */
function tagBegun(text: string): number {
  for (let length = Math.min(CLOSE.length - 1, text.length); length > 0; length -= 1) if (CLOSE.startsWith(text.slice(-length))) return length;
  return 0;
}
