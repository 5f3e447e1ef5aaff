// Whether a call's arguments fit the tool's JSON Schema; a library decides, one that evaluates nothing from text.

import { Validator, type Schema } from '@cfworker/json-schema';
import { Qwen3Error } from '../index.js';
import type { RunTool } from '../types.js';

/** Says what is wrong with arguments for a tool, nothing if they fit. */
export function argumentsCheck({ name, parameters }: RunTool): (args: unknown) => string | undefined {
  if (parameters === undefined) return () => undefined;
  const schema: Schema = { ...parameters };
  const validate = (args: unknown): string | undefined => {
    const { valid, errors } = new Validator(schema, '2020-12', false).validate(args);
    // The last of a chain of errors is the innermost: the one that says what is wrong.
    const inner = errors.filter(({ keyword }) => !['properties', 'items', '$ref'].includes(keyword));
    return valid ? undefined : inner.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`).join(' ').replace(/\.$/, '');
  };
  try {
    validate({});
  } catch (error) {
    throw new Qwen3Error('invalid-argument', `the parameters of the tool ${name} are no JSON Schema: ${String(error)}`, {
      hint: 'expected is a schema of draft 2020-12 whose references are within it', cause: error,
    });
  }
  return validate;
}
