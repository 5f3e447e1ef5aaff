// The strip that shows a load: bytes, speed, time left, pause and resume, and what went wrong with what can be done.

import { Qwen3Error, type Progress } from 'qwen3-web';
import { button, make } from '../ui/dom.js';
import { bytes, rate, seconds } from '../ui/format.js';
import { say, text, type MessageKey } from '../ui/messages.js';
import type { LoadState, ModelLoader } from './loader.js';

const PHASES: Readonly<Record<Progress['phase'], MessageKey>> = {
  download: 'downloading', verify: 'checking', upload: 'readingWeights', compile: 'preparingDevice', warmup: 'warmingUp',
};

/** Shows how a load goes. */
export class LoadStrip {
  readonly element = make('section', 'load-strip');
  readonly #what = make('strong');
  readonly #bar = make('progress');
  readonly #detail = make('p', 'quiet');
  readonly #pause: HTMLButtonElement;
  readonly #resume: HTMLButtonElement;
  readonly #dismiss: HTMLButtonElement;
  #timer: number | undefined;

  constructor(loader: ModelLoader) {
    this.#pause = button('', () => loader.pause());
    this.#resume = button('primary', () => loader.resume());
    this.#dismiss = say(button('quiet-button', () => void loader.unload()), 'dismiss');
    this.#bar.max = 1;
    this.element.append(make('div', 'load-line', this.#what, make('div', 'load-actions', this.#dismiss, this.#pause, this.#resume)), this.#bar, this.#detail);
    loader.watch((state) => this.#show(state));
  }

  #show(state: LoadState): void {
    // A load of a moment needs no telling: a strip that comes and goes at once is noise.
    if (state.kind === 'loading' && state.progress === undefined) {
      clearTimeout(this.#timer);
      this.element.hidden = true;
      this.#timer = window.setTimeout(() => {
        this.element.hidden = false;
      }, 300);
    }
    if (state.kind !== 'loading') {
      clearTimeout(this.#timer);
      this.element.hidden = state.kind === 'none' || state.kind === 'ready' || state.kind === 'connected';
    }
    if (state.kind === 'none' || state.kind === 'ready' || state.kind === 'connected') return;
    const failed = state.kind === 'failed';
    this.element.classList.toggle('failed', failed);
    this.element.setAttribute('role', failed ? 'alert' : 'group');
    this.#pause.hidden = state.kind !== 'loading';
    this.#resume.hidden = state.kind === 'loading';
    this.#dismiss.hidden = state.kind === 'loading';
    this.#bar.hidden = failed;
    if (state.kind === 'failed') {
      this.#showFailure(state.error);
      say(this.#resume, 'tryAgain');
      return;
    }
    const { title, progress } = state;
    const download = progress?.phase === 'download';
    say(this.#what, state.kind === 'paused' ? 'pausedModel' : 'loadingModel', { title });
    say(this.#pause, download ? 'pause' : 'cancel');
    say(this.#resume, 'resume');
    this.#showProgress(progress, state.kind === 'paused');
  }

  #showFailure(error: unknown): void {
    this.#what.textContent = error instanceof Error ? error.message : String(error);
    this.#what.removeAttribute('data-said');
    this.#detail.textContent = error instanceof Qwen3Error ? error.hint : '';
  }

  #showProgress(progress: Progress | undefined, paused: boolean): void {
    if (progress === undefined) {
      this.#bar.removeAttribute('value');
      this.#detail.textContent = text('startingEngine');
      return;
    }
    const { phase, loadedBytes, totalBytes, bytesPerSecond, etaSeconds } = progress;
    const counted = phase === 'download' || phase === 'upload' || phase === 'verify';
    if (counted && totalBytes !== undefined) this.#bar.value = loadedBytes / totalBytes;
    else this.#bar.removeAttribute('value');
    const parts = [text(PHASES[phase])];
    if (counted) parts.push(totalBytes === undefined ? bytes(loadedBytes) : text('of', { part: bytes(loadedBytes), whole: bytes(totalBytes) }));
    if (counted && bytesPerSecond > 0 && !paused) parts.push(`${rate(bytesPerSecond / 1e6)} MB/s`);
    if (phase === 'download' && etaSeconds !== undefined && !paused) parts.push(text('timeLeft', { time: seconds(etaSeconds) }));
    this.#detail.textContent = (paused ? parts.slice(1) : parts).join(' · ');
  }
}
