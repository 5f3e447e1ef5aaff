// A conversation as a file: Markdown to read, JSON to go on with.

import { saveFile } from '../ui/dom.js';
import type { Conversation, Turn } from './conversations.js';

/** Offers the conversation as Markdown. */
export function exportMarkdown(conversation: Conversation): void {
  const parts = [`# ${conversation.title}`, ...conversation.turns.map(turnText)];
  saveFile(`${fileName(conversation)}.md`, 'text/markdown', `${parts.join('\n\n')}\n`);
}

/** Offers the conversation as JSON, with all that is kept of it. */
export function exportJson(conversation: Conversation): void {
  saveFile(`${fileName(conversation)}.json`, 'application/json', `${JSON.stringify(conversation, undefined, 2)}\n`);
}

function fileName({ title }: Conversation): string {
  return title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 40) || 'conversation';
}

function turnText(turn: Turn): string {
  if (turn.role === 'user') return `## You\n\n${turn.content}`;
  const parts = turn.messages.flatMap(({ role, content, thinking = '', toolCalls = [] }) => {
    if (role === 'tool') return [`Result: \`${content}\``];
    const thoughts = thinking.trim() === '' ? [] : [thinking.trim().split('\n').map((line) => `> ${line}`).join('\n')];
    const calls = toolCalls.map((call) => `Call: \`${call.name}(${typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments)})\``);
    return [...thoughts, ...(content === '' ? [] : [content]), ...calls];
  });
  return ['## Model', ...parts].join('\n\n');
}
