// Checks of what callers pass to loadModel: an unknown option or a wrong value is told by name, value and range.

import { Qwen3Error } from './errors.js';
import type { LoadOptions } from './types.js';

/** An option's check: what it must be, in words, and whether a value is. */
interface Rule {
  expected: string;
  holds(value: unknown): boolean;
}

const oneOf = (...values: string[]): Rule => ({
  expected: values.map((value) => `'${value}'`).join(' or '),
  holds: (value) => typeof value === 'string' && values.includes(value),
});
const aFunction: Rule = { expected: 'a function', holds: (value) => typeof value === 'function' };

const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, Rule>> = {
  device: oneOf('auto', 'webgpu', 'cpu'),
  kernels: oneOf('auto', 'hardware', 'software'),
  contextLength: {
    expected: 'an integer of at least 1',
    holds: (value) => typeof value === 'number' && Number.isInteger(value) && value >= 1,
  },
  onProgress: aFunction,
  signal: { expected: 'an AbortSignal', holds: (value) => value instanceof AbortSignal },
  cache: oneOf('indexeddb', 'memory', 'none'),
  fetch: aFunction,
  headers: {
    expected: 'an object of strings',
    holds: (value) => typeof value === 'object' && value !== null && !(value instanceof Headers)
      && Object.values(value).every((field) => typeof field === 'string'),
  },
  worker: { expected: 'true or false', holds: (value) => typeof value === 'boolean' },
};

/** The value as a message shows it, short. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : typeof value === 'object' && value !== null
    ? Object.prototype.toString.call(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Throws `invalid-argument` for the first option that is unknown or wrong; `undefined` stands for the default. */
export function checkLoadOptions(options: LoadOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new Qwen3Error('invalid-argument', `the options of loadModel must be an object, got ${show(options)}`);
  }
  const rules = new Map<string, Rule>(Object.entries(LOAD_OPTIONS));
  for (const [name, value] of Object.entries(options)) {
    const rule = rules.get(name);
    if (rule === undefined) {
      throw new Qwen3Error('invalid-argument', `loadModel has no option '${name}'`, {
        hint: `its options are ${[...rules.keys()].join(', ')}`,
      });
    }
    if (value !== undefined && !rule.holds(value)) {
      throw new Qwen3Error('invalid-argument', `the option ${name} must be ${rule.expected}, got ${show(value)}`);
    }
  }
}
