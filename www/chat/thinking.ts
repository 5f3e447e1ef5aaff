// The thinking of a reply: a quiet block, open while it grows, folded when the answer starts unless somebody decided otherwise.

import { button, make } from '../ui/dom.js';
import { seconds } from '../ui/format.js';
import { say } from '../ui/messages.js';

/** A token lays out only the last block of text: those before are left alone. */
const BLOCK_CHARACTERS = 1200;
const LABEL_EVERY_MS = 250;

/** Shows thinking that grows. */
export class ThinkingView {
  readonly element = make('details', 'thoughts');
  readonly #label = make('summary');
  readonly #box = make('div', 'text');
  readonly #skip: HTMLButtonElement;
  readonly #since = performance.now();
  #block = new Text();
  #new = '';
  #deltas = 0;
  #labelled = 0;
  #ms: number | undefined;
  #frame: number | undefined;
  #userToggled = false;

  /** Without `onSkip` it is one that has ended long ago. */
  constructor(onSkip?: () => void) {
    this.#skip = say(button('quiet-button', () => onSkip?.()), 'answerNow');
    this.#box.tabIndex = 0;
    this.#box.append(make('div', '', this.#block));
    this.element.append(this.#label, this.#box);
    say(this.#label, 'thinking');
    if (onSkip !== undefined) {
      this.element.append(this.#skip);
      this.element.dataset['live'] = '';
      this.element.open = true;
    }
    this.#label.addEventListener('click', () => {
      this.#userToggled = true;
    });
  }

  /** How long it took; so far, while it goes on. */
  get ms(): number {
    return this.#ms ?? performance.now() - this.#since;
  }

  /** Takes more of the text; it shows with the next frame. */
  append(text: string): void {
    this.#new += text;
    this.#deltas += 1;
    // Tokens may come far faster than frames: the page is touched once a frame.
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  /** Ends it; a whole one from a kept conversation brings its own time. */
  end(ms: number = this.ms): void {
    if (this.#ms !== undefined) return;
    this.#ms = ms;
    this.#draw();
    delete this.element.dataset['live'];
    if (ms > 0) say(this.#label, 'thoughtFor', { time: seconds(ms / 1000) });
    else say(this.#label, 'thought');
    this.#skip.remove();
    // Who opens it later reads it from the start.
    this.#box.scrollTop = 0;
    if (!this.#userToggled) this.element.open = false;
  }

  /** Says how many tokens it had, once that is known. */
  count(tokens: number): void {
    if (tokens > 0 && this.ms > 0) say(this.#label, 'thoughtForTokens', { time: seconds(this.ms / 1000), count: tokens });
  }

  #draw(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    const box = this.#box;
    const atEnd = this.element.open && box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    this.#write(this.#new);
    this.#new = '';
    if (atEnd) box.scrollTop = box.scrollHeight;
    const now = performance.now();
    if (this.#ms !== undefined || now - this.#labelled < LABEL_EVERY_MS) return;
    this.#labelled = now;
    say(this.#label, 'thinkingSoFar', { time: seconds(this.ms / 1000), count: this.#deltas });
  }

  #write(text: string): void {
    const room = BLOCK_CHARACTERS - this.#block.length;
    const cut = text.indexOf('\n', Math.max(0, room));
    if (cut < 0) {
      this.#block.appendData(text);
      return;
    }
    // The end of the block is the end of the line.
    this.#block.appendData(text.slice(0, cut));
    this.#block = new Text();
    this.#box.append(make('div', '', this.#block));
    this.#write(text.slice(cut + 1));
  }
}
