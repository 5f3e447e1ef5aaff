// The settings as a form: what a reply is made with, where the model runs, what it may call, how the page looks.

import { make, withAttributes } from '../ui/dom.js';
import { say, type MessageKey } from '../ui/messages.js';
import { type Sampling, type Settings, type SettingsStore } from './settings.js';
import { TOOLS } from './tools.js';

/** What a number may be. */
interface Range {
  min: number;
  max: number;
  step: number;
}

const SAMPLING: readonly [keyof Sampling, MessageKey, Range][] = [
  ['temperature', 'temperature', { min: 0, max: 2, step: 0.05 }],
  ['topP', 'topP', { min: 0.05, max: 1, step: 0.05 }],
  ['topK', 'topK', { min: 0, max: 100, step: 1 }],
  ['minP', 'minP', { min: 0, max: 0.5, step: 0.01 }],
  ['presencePenalty', 'presencePenalty', { min: 0, max: 2, step: 0.1 }],
];

const CONTEXTS = [2048, 4096, 8192, 16384, 32768];

/** The form; `onReload` is called when a change needs the model to be loaded again. */
export function settingsPanel(settings: SettingsStore, onReload: () => void): HTMLElement {
  const form = make('form', 'settings');
  form.addEventListener('submit', (event) => event.preventDefault());
  const reloads = say(make('p', 'quiet'), 'reloadsModel');
  form.append(
    group('replies',
      textField(settings),
      numberField(settings, 'thinkingBudget', 'thinkingBudget', { min: 0, max: 32768, step: 64 }, 'noLimit'),
      numberField(settings, 'maxTokens', 'maxTokens', { min: 0, max: 32768, step: 64 }, 'noLimit')),
    group('sampling',
      choice(settings, 'preset', 'preset', [['recommended', 'recommended'], ['precise', 'precise'], ['lively', 'lively'], ['custom', 'custom']]),
      sampling(settings)),
    group('tools', say(make('p', 'quiet'), 'toolsHint'), ...TOOLS.map(({ name }) => toolSwitch(settings, name))),
    group('engine',
      choice(settings, 'device', 'device', [['auto', 'automatic'], ['webgpu', 'WebGPU'], ['cpu', 'CPU']], onReload),
      contextChoice(settings, onReload), reloads),
    group('page',
      choice(settings, 'language', 'language', [['en', 'English'], ['zh', '中文']]),
      choice(settings, 'look', 'look', [['system', 'system'], ['light', 'light'], ['dark', 'dark']])),
  );
  return form;
}

function group(key: MessageKey, ...children: HTMLElement[]): HTMLFieldSetElement {
  return make('fieldset', '', say(make('legend'), key), ...children);
}

function field(key: MessageKey, control: HTMLElement, ...more: HTMLElement[]): HTMLLabelElement {
  return make('label', 'field', say(make('span'), key), control, ...more);
}

function textField(settings: SettingsStore): HTMLElement {
  const area = make('textarea');
  area.rows = 3;
  say(area, 'systemPromptHint', {}, 'placeholder');
  area.value = settings.values.systemPrompt;
  area.addEventListener('change', () => settings.set({ systemPrompt: area.value }));
  const made = field('systemPrompt', area);
  made.classList.add('tall');
  return made;
}

function numberInput({ min, max, step }: Range, onChange: (value: number) => void): HTMLInputElement {
  const input = withAttributes(make('input'), { type: 'number', min: String(min), max: String(max), step: String(step), inputmode: 'decimal' });
  input.addEventListener('change', () => {
    const value = Math.min(max, Math.max(min, input.valueAsNumber));
    onChange(Number.isNaN(value) ? min : value);
  });
  return input;
}

/** A number that is 0 for "none", shown as an empty field. */
function numberField(settings: SettingsStore, name: 'thinkingBudget' | 'maxTokens', key: MessageKey, range: Range, none: MessageKey): HTMLElement {
  const input = numberInput(range, (value) => settings.set({ [name]: value }));
  say(input, none, {}, 'placeholder');
  settings.watch((values) => {
    input.value = values[name] === 0 ? '' : String(values[name]);
  });
  return field(key, input);
}

/** Options are named by a message or, where there is none, by themselves. */
function choice<K extends 'preset' | 'device' | 'language' | 'look'>(
  settings: SettingsStore, name: K, key: MessageKey, options: readonly (readonly [Settings[K], MessageKey | 'WebGPU' | 'CPU' | 'English' | '中文'])[], after?: () => void,
): HTMLElement {
  const select = make('select');
  for (const [value, words] of options) {
    const option = make('option');
    option.value = value;
    if (words === 'WebGPU' || words === 'CPU' || words === 'English' || words === '中文') option.textContent = words;
    else say(option, words);
    select.append(option);
  }
  select.addEventListener('change', () => {
    const chosen = options.find(([value]) => value === select.value);
    if (chosen !== undefined) settings.set({ [name]: chosen[0] });
    after?.();
  });
  settings.watch((values) => {
    select.value = values[name];
  });
  select.name = name;
  return field(key, select);
}

function contextChoice(settings: SettingsStore, after: () => void): HTMLElement {
  const select = make('select');
  select.name = 'contextLength';
  select.append(say(withAttributes(make('option'), { value: '0' }), 'automatic'));
  for (const length of CONTEXTS) select.append(withAttributes(make('option', '', String(length)), { value: String(length) }));
  select.addEventListener('change', () => {
    settings.set({ contextLength: Number(select.value) });
    after();
  });
  settings.watch(({ contextLength }) => {
    select.value = String(contextLength);
  });
  return field('contextLength', select);
}

/** The numbers of the preset; to change one makes them one's own. */
function sampling(settings: SettingsStore): HTMLElement {
  const box = make('div', 'sampling');
  for (const [name, key, range] of SAMPLING) {
    const input = numberInput(range, (value) => settings.set({ preset: 'custom', sampling: { ...settings.sampling, [name]: value } }));
    input.name = name;
    settings.watch(() => {
      input.value = String(settings.sampling[name]);
    });
    box.append(field(key, input));
  }
  const hint = make('p', 'quiet');
  settings.watch(({ preset, thinking }) => {
    hint.hidden = preset !== 'recommended';
    say(hint, thinking ? 'recommendedThinking' : 'recommendedDirect');
  });
  box.append(hint);
  return box;
}

function toolSwitch(settings: SettingsStore, name: string): HTMLElement {
  const box = withAttributes(make('input'), { type: 'checkbox', role: 'switch', name });
  box.addEventListener('change', () => {
    const others = settings.values.tools.filter((tool) => tool !== name);
    settings.set({ tools: box.checked ? [...others, name] : others });
  });
  settings.watch(({ tools }) => {
    box.checked = tools.includes(name);
  });
  const key: MessageKey = name === 'clock' ? 'clock' : 'calculator';
  return make('label', 'switch', box, say(make('span'), key));
}
