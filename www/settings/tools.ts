// Two tools to try: a calculator and a clock. Both run in the page; the model decides when to call them.

import type { RunTool } from 'qwen3-web';

/** The names are what the settings keep. */
export const TOOLS: readonly RunTool[] = [
  {
    name: 'calculator',
    description: 'Evaluates an arithmetic expression with + - * / ^ and parentheses.',
    parameters: {
      type: 'object',
      properties: { expression: { type: 'string', description: 'for example (3 + 4) * 2^5' } },
      required: ['expression'],
      additionalProperties: false,
    },
    execute: ({ expression }) => String(calculate(String(expression))),
  },
  {
    name: 'clock',
    description: 'Tells the date and time of now.',
    parameters: {
      type: 'object',
      properties: { timeZone: { type: 'string', description: 'an IANA time zone, for example Asia/Shanghai; the local one if absent' } },
      additionalProperties: false,
    },
    execute: ({ timeZone }) => new Intl.DateTimeFormat('en-GB', {
      dateStyle: 'full', timeStyle: 'long', ...(typeof timeZone === 'string' ? { timeZone } : {}),
    }).format(new Date()),
  },
];

/** Tighter operators have higher numbers. */
const PRECEDENCE: Readonly<Record<string, number>> = { '+': 1, '-': 1, '*': 2, '×': 2, '/': 2, '÷': 2, '^': 3 };

/** The value of an arithmetic expression, by precedence climbing. */
export function calculate(expression: string): number {
  const tokens = expression.match(/\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+|\S/gi) ?? [];
  let at = 0;
  const operand = (): number => {
    const token = tokens[at++];
    // A sign binds looser than a power: -2^2 is -4.
    if (token === '-' || token === '−') return -climb(operand(), 3);
    if (token === '+') return operand();
    if (token === '(') {
      const value = climb(operand(), 1);
      if (tokens[at++] !== ')') throw new Error(`a parenthesis is not closed in ${expression}`);
      return value;
    }
    const value = Number(token);
    if (token === undefined || Number.isNaN(value)) throw new Error(`a number was expected, got ${token ?? 'the end'} in ${expression}`);
    return value;
  };
  const climb = (left: number, least: number): number => {
    for (;;) {
      const operator = tokens[at]?.replace('−', '-') ?? '';
      const precedence = PRECEDENCE[operator] ?? 0;
      if (precedence < least || precedence === 0) return left;
      at += 1;
      // A power takes what follows from the right: 2^3^2 is 2^9.
      const right = climb(operand(), operator === '^' ? precedence : precedence + 1);
      left = apply(operator, left, right);
    }
  };
  const value = climb(operand(), 1);
  if (at < tokens.length) throw new Error(`an operator was expected, got ${tokens[at] ?? ''} in ${expression}`);
  return value;
}

function apply(operator: string, left: number, right: number): number {
  switch (operator) {
    case '+': return left + right;
    case '-': return left - right;
    case '^': return left ** right;
    case '/':
    case '÷': return left / right;
    default: return left * right;
  }
}
