// The inspector: how fast the last reply was and over its time, what it filled, the exact prompt, and a report for bugs.

import { diagnose } from 'qwen3-web';
import { copyButton } from '../chat/copy.js';
import type { ModelLoader } from '../models/loader.js';
import { button, make } from '../ui/dom.js';
import { bytes, rate, seconds } from '../ui/format.js';
import { label, say, text, type MessageKey } from '../ui/messages.js';
import { Recorder, speeds, type Recording } from './recorder.js';
import { speedChart } from './speed-chart.js';

const DRAW_EVERY_MS = 250;

/** Shows what the last reply did. */
export class Inspector {
  readonly element = make('div', 'inspector');
  readonly recorder = new Recorder((recording) => this.#changed(recording));
  readonly #loader: ModelLoader;
  readonly #figures = make('dl');
  readonly #chart = make('figure');
  readonly #context = make('meter');
  readonly #prompt = make('pre', 'prompt-text');
  #drawn = 0;

  constructor(loader: ModelLoader) {
    this.#loader = loader;
    label(this.#context, 'contextUsed');
    this.#prompt.tabIndex = 0;
    this.#prompt.hidden = true;
    const show = say(button('', () => void this.#showPrompt()), 'showPrompt');
    const report = copyButton(async () => JSON.stringify({ ...await diagnose(), model: loader.chatModel?.info }, undefined, 2), 'copyReport');
    const caption = make('figcaption', 'quiet', make('span', 'key-thinking'), say(make('span'), 'thinkingSwitch'), make('span', 'key-answer'), say(make('span'), 'answer'));
    this.#chart.append(caption);
    this.element.append(
      this.#figures, this.#context, this.#chart,
      make('div', 'inspector-row', say(make('h3'), 'exactPrompt'), show), this.#prompt,
      make('div', 'inspector-row', say(make('h3'), 'report'), report),
      say(make('p', 'quiet'), 'reportHint'),
    );
    loader.watch((state) => {
      if (state.kind === 'ready' || state.kind === 'connected' || state.kind === 'none') this.#draw();
    });
  }

  #changed(recording: Recording): void {
    const now = performance.now();
    if (recording.result === undefined && now - this.#drawn < DRAW_EVERY_MS) return;
    this.#drawn = now;
    // A closed panel costs nothing; it is drawn when it opens.
    if (this.element.checkVisibility() || recording.result !== undefined) this.#draw();
  }

  #draw(): void {
    const recording = this.recorder.current;
    const info = this.#loader.model?.info;
    const rows: [MessageKey, string][] = [];
    const used = recording === undefined ? 0 : (recording.result?.usage.promptTokens ?? recording.promptTokens) + (recording.result?.usage.completionTokens ?? recording.tokens);
    if (recording !== undefined) {
      const { result, firstTokenMs } = recording;
      const speed = result?.timings.decodeTokensPerSecond ?? speeds(recording).values.at(-2) ?? speeds(recording).values.at(-1);
      rows.push(['speed', speed === undefined ? '…' : text('tokensPerSecond', { rate: rate(speed) })]);
      const first = result?.timings.timeToFirstTokenMs ?? firstTokenMs;
      rows.push(['firstToken', first === undefined ? '…' : seconds(first / 1000)]);
      if (result !== undefined && result.timings.prefillTokensPerSecond > 0) {
        rows.push(['prefillSpeed', text('tokensPerSecond', { rate: rate(result.timings.prefillTokensPerSecond) })]);
      }
      if (result !== undefined) {
        rows.push(['tokensOfReply', text('thinkingAndAnswer', { thinking: result.usage.thinkingTokens, answer: result.usage.contentTokens })]);
        if (result.usage.promptTokens > 0) rows.push(['cachedTokens', text('of', { part: result.usage.cachedTokens, whole: result.usage.promptTokens })]);
        rows.push(['seed', String(result.seed)]);
      }
    }
    if (info !== undefined) {
      rows.push(['memory', text('weightsAndCache', { weights: bytes(info.weightBytes), cache: bytes(info.kvCacheBytes) })]);
      rows.push(['device', [info.device === 'webgpu' ? 'WebGPU' : 'CPU', ...(info.adapter === undefined ? [] : [info.adapter])].join(' · ')]);
      rows.push(['model', `${info.name} · ${info.quantization}`]);
      rows.push(['contextUsed', text('of', { part: used, whole: info.contextLength })]);
      this.#context.max = info.contextLength;
      this.#context.value = used;
    } else if (this.#loader.chatModel !== undefined) rows.push(['model', this.#loader.chatModel.info.name]);
    this.#context.hidden = info === undefined;
    this.#figures.replaceChildren(...rows.map(([key, value]) => make('div', '', say(make('dt'), key), make('dd', '', value))));
    this.#chart.hidden = recording === undefined || speeds(recording).values.length < 2;
    if (recording !== undefined && !this.#chart.hidden) {
      this.#chart.querySelector('svg')?.remove();
      const { values, answerFrom } = speeds(recording);
      this.#chart.prepend(speedChart(values, answerFrom));
    }
  }

  async #showPrompt(): Promise<void> {
    const recording = this.recorder.current;
    this.#prompt.hidden = false;
    if (recording === undefined) say(this.#prompt, 'nothingAskedYet');
    else {
      this.#prompt.removeAttribute('data-said');
      // A server makes the prompt itself, of these messages.
      this.#prompt.textContent = await this.#loader.model?.applyChatTemplate(recording.messages, recording.options) ?? JSON.stringify(recording.messages, undefined, 2);
    }
  }
}
