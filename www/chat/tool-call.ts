// One call of a tool: its name and arguments, and under them what it gave.

import { make } from '../ui/dom.js';
import { say } from '../ui/messages.js';

/** Shows a call, and its result when it comes. */
export class ToolCallView {
  readonly element = make('div', 'tool-call');
  readonly id: string;

  constructor(id: string, name: string, given: Record<string, unknown> | string) {
    this.id = id;
    const shown = typeof given === 'string' ? given : JSON.stringify(given);
    this.element.append(say(make('span', 'tool-name'), 'calls', { name }), make('code', '', shown));
  }

  /** Shows what the tool gave. */
  result(output: string, failed: boolean): void {
    this.element.append(make('output', failed ? 'failed' : '', output));
  }
}
