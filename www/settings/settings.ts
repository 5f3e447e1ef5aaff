// What a person has set, kept in the browser: a typed store that tells of changes.

import type { ChatOptions, LoadOptions } from 'qwen3-web';
import { preferredLanguage, type Language } from '../ui/messages.js';

/** Sampling by name; `recommended` leaves the numbers to the engine, which has those of the model's card. */
export type Preset = 'recommended' | 'precise' | 'lively' | 'custom';

/** The numbers of a way to sample. */
export interface Sampling {
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  presencePenalty: number;
}

/** Everything that can be set. */
export interface Settings {
  thinking: boolean;
  /** Tokens of thinking at most; 0 is without a limit. */
  thinkingBudget: number;
  preset: Preset;
  /** Used with the preset `custom`. */
  sampling: Sampling;
  /** Tokens of a reply at most; 0 is the rest of the context. */
  maxTokens: number;
  systemPrompt: string;
  /** Positions of KV cache; 0 leaves it to the engine. */
  contextLength: number;
  device: 'auto' | 'webgpu' | 'cpu';
  /** Names of the tools the model may call. */
  tools: string[];
  language: Language;
  look: 'system' | 'light' | 'dark';
  /** The model that was loaded last; empty before the first. */
  model: string;
}

/** What Qwen3's card recommends with and without thinking; the engine applies them by itself. */
export const RECOMMENDED: Readonly<Record<'thinking' | 'direct', Sampling>> = {
  thinking: { temperature: 0.6, topP: 0.95, topK: 20, minP: 0, presencePenalty: 0 },
  direct: { temperature: 0.7, topP: 0.8, topK: 20, minP: 0, presencePenalty: 0 },
};

/** The presets with numbers of their own. */
export const PRESETS: Readonly<Record<'precise' | 'lively', Sampling>> = {
  precise: { temperature: 0.3, topP: 0.9, topK: 20, minP: 0, presencePenalty: 0 },
  lively: { temperature: 1, topP: 0.95, topK: 40, minP: 0.02, presencePenalty: 0.5 },
};

const DEFAULTS: Readonly<Settings> = {
  thinking: true,
  thinkingBudget: 0,
  preset: 'recommended',
  sampling: RECOMMENDED.thinking,
  maxTokens: 0,
  systemPrompt: '',
  contextLength: 0,
  device: 'auto',
  tools: [],
  language: preferredLanguage(),
  look: 'system',
  model: '',
};

/** Keeps settings under a key of localStorage. */
export class SettingsStore {
  readonly #key: string;
  readonly #listeners: (() => void)[] = [];
  #values: Settings;

  constructor(key = 'qwen3-web-settings') {
    this.#key = key;
    this.#values = { ...DEFAULTS, ...read(key) };
  }

  get values(): Readonly<Settings> {
    return this.#values;
  }

  /** Changes some of them and tells everybody. */
  set(changes: Partial<Settings>): void {
    this.#values = { ...this.#values, ...changes };
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#values));
    } catch { /* Without storage they last as long as the page. */ }
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` now and after each change. */
  watch(listener: (values: Readonly<Settings>) => void): void {
    const call = (): void => listener(this.#values);
    this.#listeners.push(call);
    call();
  }

  /** The numbers that apply. */
  get sampling(): Sampling {
    const { preset, sampling, thinking } = this.#values;
    if (preset === 'custom') return sampling;
    return preset === 'recommended' ? RECOMMENDED[thinking ? 'thinking' : 'direct'] : PRESETS[preset];
  }

  /** The options of a load. */
  get loadOptions(): LoadOptions {
    const { device, contextLength } = this.#values;
    return { device, ...(contextLength > 0 ? { contextLength } : {}) };
  }

  /** The options of a reply. */
  get chatOptions(): ChatOptions {
    const { thinking, thinkingBudget, preset, maxTokens } = this.#values;
    return {
      enableThinking: thinking,
      ...(thinkingBudget > 0 ? { thinkingBudget } : {}),
      ...(maxTokens > 0 ? { maxTokens } : {}),
      ...(preset === 'recommended' ? {} : this.sampling),
      onContextOverflow: 'dropOldestTurns',
    };
  }
}

/** What was kept, as far as it still has the kinds of today. */
function read(key: string): Partial<Settings> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(key) ?? '{}');
    if (typeof kept !== 'object' || kept === null) return {};
    const known: readonly [string, unknown][] = Object.entries(DEFAULTS);
    const valid = known.flatMap(([name]) => {
      const value: unknown = Reflect.get(kept, name);
      const like: unknown = Reflect.get(DEFAULTS, name);
      return typeof value === typeof like && Array.isArray(value) === Array.isArray(like) ? [[name, value] as const] : [];
    });
    return Object.fromEntries(valid);
  } catch {
    return {};
  }
}
