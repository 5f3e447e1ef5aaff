// The benchmark: times the loaded model on this machine in a few rounds, with bars, and offers the figures as JSON.

import { diagnose, type ChatModel, type ChatResult, type Reply } from 'qwen3-web';
import { copyButton } from '../chat/copy.js';
import { hostOf, type ModelLoader } from '../models/loader.js';
import { button, make } from '../ui/dom.js';
import { rate, seconds } from '../ui/format.js';
import { say, text, type MessageKey } from '../ui/messages.js';

const ROUNDS = 3;
const PROMPT_WORDS = 60;
const DECODE_TOKENS = 64;

/** One round. */
type Round = Pick<ChatResult, 'usage' | 'timings'>;

interface Measure {
  key: MessageKey;
  of(round: Round): number;
  show(value: number): string;
}

const perSecond = (value: number): string => text('tokensPerSecond', { rate: rate(value) });
const MEASURES: readonly Measure[] = [
  { key: 'firstToken', of: ({ timings }) => timings.timeToFirstTokenMs, show: (ms) => seconds(ms / 1000) },
  { key: 'prefillSpeed', of: ({ timings }) => timings.prefillTokensPerSecond, show: perSecond },
  { key: 'decodeSpeed', of: ({ timings }) => timings.decodeTokensPerSecond, show: perSecond },
];

/** The view; it times whatever model is loaded. */
export class BenchmarkView {
  readonly element = make('section', 'view page benchmark');
  readonly #loader: ModelLoader;
  readonly #onProblem: (error: unknown) => void;
  readonly #run = say(button('primary', () => void this.#measure()), 'benchmarkRun');
  readonly #stop = say(button('', () => this.#reply?.abort()), 'stop');
  readonly #progress = make('p', 'quiet');
  readonly #results = make('div', 'results');
  readonly #copy: HTMLButtonElement;
  #rounds: Round[] = [];
  #reply: Reply | undefined;

  constructor(loader: ModelLoader, onProblem: (error: unknown) => void) {
    this.#loader = loader;
    this.#onProblem = onProblem;
    this.#copy = copyButton(() => this.#report(), 'copyFigures');
    this.#progress.setAttribute('role', 'status');
    this.element.append(
      say(make('h2'), 'benchmark'), say(make('p', 'quiet'), 'benchmarkText', { rounds: ROUNDS, tokens: DECODE_TOKENS }),
      make('div', 'benchmark-row', this.#run, this.#stop, this.#copy, this.#progress), this.#results,
    );
    loader.watch((state) => {
      if (state.kind === 'loading') this.#rounds = [];
      if (state.kind !== 'failed' && state.kind !== 'paused') this.#draw();
      this.#update();
    });
  }

  #update(): void {
    const running = this.#reply !== undefined;
    this.#run.disabled = running || this.#loader.chatModel === undefined;
    this.#stop.hidden = !running;
    this.#copy.hidden = running || this.#rounds.length === 0;
  }

  async #measure(): Promise<void> {
    const model = this.#loader.chatModel;
    if (model === undefined || this.#reply !== undefined) return;
    this.#rounds = [];
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        say(this.#progress, 'benchmarkRound', { round: round + 1, rounds: ROUNDS });
        const result = await this.#round(model, round);
        if (result.finishReason === 'abort') break;
        this.#rounds.push(result);
        this.#draw();
      }
    } catch (error) {
      this.#onProblem(error);
    } finally {
      this.#reply = undefined;
      this.#progress.textContent = '';
      this.#progress.removeAttribute('data-said');
      this.#update();
    }
  }

  #round(model: ChatModel, round: number): Promise<ChatResult> {
    // Each round reads another text, so that none is in the cache.
    const prompt = Array.from({ length: PROMPT_WORDS }, (_, index) => String((index + 2) * (round + 7))).join(' ');
    const maxTokens = Math.min(DECODE_TOKENS, Math.floor((model.info.contextLength ?? Infinity) / 4));
    const reply = model.chat([{ role: 'user', content: prompt }], { enableThinking: true, maxTokens, seed: round });
    this.#reply = reply;
    this.#update();
    return reply.then((result) => result);
  }

  #draw(): void {
    const { state } = this.#loader;
    const rows: HTMLElement[] = [];
    if (state.kind === 'ready') {
      const { info } = state.model;
      rows.push(make('p', 'quiet', [state.title, info.quantization, info.device === 'webgpu' ? 'WebGPU' : 'CPU', ...(info.adapter === undefined ? [] : [info.adapter])].join(' · ')));
      rows.push(measureRow('loadTime', [state.loadMs], (ms) => seconds(ms / 1000)));
    } else if (state.kind === 'connected') rows.push(make('p', 'quiet', `${state.title} · ${hostOf(state.source)}`));
    for (const { key, of, show } of MEASURES) {
      if (this.#rounds.length > 0) rows.push(measureRow(key, this.#rounds.map(of), show));
    }
    this.#results.replaceChildren(...rows);
  }

  async #report(): Promise<string> {
    const { state } = this.#loader;
    const loadMs = state.kind === 'ready' ? state.loadMs : undefined;
    return JSON.stringify({ model: this.#loader.chatModel?.info, loadMs, rounds: this.#rounds.map(({ usage, timings }) => ({ usage, timings })), machine: await diagnose() }, undefined, 2);
  }
}

/** A measure: its median, and a bar for each round. */
function measureRow(key: MessageKey, values: readonly number[], show: (value: number) => string): HTMLElement {
  const most = Math.max(...values, Number.MIN_VALUE);
  const median = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  const bars = make('div', 'bars', ...values.map((value) => {
    const bar = make('span', 'bench-bar');
    bar.style.setProperty('--share', String(value / most));
    bar.title = show(value);
    return bar;
  }));
  return make('div', 'measure', say(make('h3'), key), make('strong', '', show(median)), bars);
}
