// A text longer than the model's context: each part is summarised, then the summaries are, until one remains.

import type { ChatModel, Message } from 'qwen3-web';

const request = (text: string): Message[] => [{ role: 'user', content: `Summarise this in one or two sentences.\n\n${text}` }];
const ANSWER_TOKENS = 96;

/** Summarises a text of any length; `onPart` hears how many parts are done. */
export async function summarise(model: ChatModel, text: string, onPart?: (done: number, of: number) => void): Promise<string> {
  const room = (model.info.contextLength ?? 4096) - ANSWER_TOKENS;
  const parts = await split(model, text, room);
  const summaries: string[] = [];
  for (const part of parts) {
    const { content } = await model.chat(request(part), { enableThinking: false, maxTokens: ANSWER_TOKENS });
    summaries.push(content.trim());
    onPart?.(summaries.length, parts.length);
  }
  const whole = summaries.join('\n');
  // Summaries that are no shorter than what they sum up would never end.
  return parts.length === 1 || whole.length >= text.length ? whole : summarise(model, whole, onPart);
}

/** The text in parts that fit, halved at the white space nearest the middle until they do. */
async function split(model: ChatModel, text: string, room: number): Promise<string[]> {
  if (await model.countTokens(request(text), { enableThinking: false }) < room) return [text];
  const middle = Math.floor(text.length / 2);
  const space = text.indexOf(' ', middle);
  const at = space < 0 ? middle : space;
  return [...await split(model, text.slice(0, at), room), ...await split(model, text.slice(at), room)];
}
