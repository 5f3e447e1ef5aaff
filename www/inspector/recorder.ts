// What a reply did over time: tokens and their moments, for the inspector's figures and its chart.

import type { ChatOptions, ChatResult, Message, ReplyEvent } from 'qwen3-web';

/** Tokens are counted in windows of this length. */
const WINDOW_MS = 50;
/** A chart has at most so many points. */
const POINTS = 60;

/** A reply as it was watched; times are milliseconds since it began. */
export interface Recording {
  messages: Message[];
  options: ChatOptions;
  promptTokens: number;
  firstTokenMs?: number;
  tokens: number;
  /** Tokens in each window since the first token. */
  windows: number[];
  /** The window in which the answer began. */
  answerWindow?: number;
  result?: ChatResult;
}

/** Watches replies; `onChange` is called after each event. */
export class Recorder {
  #current: Recording | undefined;
  readonly #onChange: (recording: Recording) => void;

  constructor(onChange: (recording: Recording) => void) {
    this.#onChange = onChange;
  }

  /** The last reply, nothing before the first. */
  get current(): Recording | undefined {
    return this.#current;
  }

  /** Watches a reply to its end; what goes wrong with it is told elsewhere. */
  async record(events: AsyncIterable<ReplyEvent>, messages: Message[], options: ChatOptions): Promise<void> {
    const start = performance.now();
    const recording: Recording = { messages, options, promptTokens: 0, tokens: 0, windows: [] };
    this.#current = recording;
    try {
      for await (const event of events) {
        take(recording, event, performance.now() - start);
        if (this.#current === recording) this.#onChange(recording);
      }
    } catch { /* The chat shows it. */ }
  }
}

/** The speed over the reply in tokens a second, and at which of the values the answer began. */
export function speeds({ windows, answerWindow }: Recording): { values: number[]; answerFrom?: number } {
  const size = Math.max(1, Math.ceil(windows.length / POINTS));
  const values: number[] = [];
  for (let from = 0; from < windows.length; from += size) {
    const group = windows.slice(from, from + size);
    values.push((group.reduce((sum, tokens) => sum + tokens, 0) * 1000) / (group.length * WINDOW_MS));
  }
  return { values, ...(answerWindow === undefined ? {} : { answerFrom: Math.floor(answerWindow / size) }) };
}

function take(recording: Recording, event: ReplyEvent, ms: number): void {
  if (event.type === 'prefill') recording.promptTokens = event.total;
  if (event.type === 'done') recording.result = event.result;
  if (event.type !== 'thinking' && event.type !== 'content') return;
  recording.firstTokenMs ??= ms;
  const window = Math.floor((ms - recording.firstTokenMs) / WINDOW_MS);
  while (recording.windows.length <= window) recording.windows.push(0);
  recording.windows[window] = (recording.windows[window] ?? 0) + 1;
  recording.tokens += 1;
  if (event.type === 'content') recording.answerWindow ??= window;
}
