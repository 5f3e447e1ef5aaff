// The same code on a server: only where the model comes from changes.

import { connect, loadModel, type ChatModel } from 'qwen3-web';

/** A model in the page, or the one of a vLLM, SGLang or llama.cpp server. */
export async function openModel(server?: { baseURL: string; model: string; apiKey?: string }): Promise<ChatModel & AsyncDisposable> {
  return server === undefined ? loadModel('qwen3-tiny-math') : connect(server);
}

/** What the application does with it is the same. */
export async function ask(model: ChatModel, question: string): Promise<string> {
  const { content } = await model.chat([{ role: 'user', content: question }], { temperature: 0 });
  return content;
}
