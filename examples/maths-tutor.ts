// A maths tutor: the working and the answer apart, as they come.

import type { ChatModel } from 'qwen3-web';

/** Solves a problem; `show` hears each new piece of the working and of the answer. */
export async function tutor(model: ChatModel, problem: string, show: (part: 'thinking' | 'answer', text: string) => void): Promise<{ thinking: string; answer: string }> {
  const reply = model.chat([{ role: 'user', content: problem }], { enableThinking: true });
  reply.on('thinking', ({ text }) => show('thinking', text));
  reply.on('content', ({ text }) => show('answer', text));
  const { thinking, content } = await reply;
  return { thinking, answer: content };
}
