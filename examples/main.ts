// The page of the examples: runs the chosen one on the chosen model and prints what it gives.

import { createElement, type ReactElement } from 'react';
import { createRoot } from 'react-dom/client';
import { loadModel, type ChatModel } from 'qwen3-web';
import { Conversation } from './conversation.js';
import { serveCustomer, type Shop } from './customer-service.js';
import { extractContact } from './extract-json.js';
import { tutor } from './maths-tutor.js';
import { ask } from './server.js';
import { summarise } from './summarise.js';
import { useChat } from './use-chat.js';

const SHOP: Shop = { orders: { A7: { status: 'on its way', due: 'Friday' } }, products: { cup: { price: 9, stock: 3 } }, complaints: [] };

const EXAMPLES: Record<string, (model: ChatModel, print: (text: string) => void) => Promise<unknown>> = {
  'Maths tutor': (model, print) => tutor(model, 'Solve x^2 - 5x + 6 = 0', (_, text) => print(text)),
  'Customer service': async (model) => (await serveCustomer(model, SHOP, 'Where is my order A7?')).messages,
  'JSON from a letter': (model) => extractContact(model, 'Please call me back today. Ada, Turin'),
  'Summary of a long text': (model) => summarise(model, 'The sky is blue. Grass is green. '.repeat(300)),
  'Several turns': async (model, print) => {
    const conversation = new Conversation(model, 'You are a calculator.');
    for (const question of ['2 + 3 =', '10 - 4 =']) await conversation.say(question, print);
    return conversation.messages;
  },
  'Here or on a server': (model) => ask(model, '6 * 7 ='),
  'React hook': async (model) => createRoot(element('chat')).render(createElement(ChatPanel, { model })),
};

function ChatPanel({ model }: { model: ChatModel }): ReactElement {
  const { messages, thinking, content, busy, error, send, stop } = useChat(model);
  const line = (who: string, text: string, key: string): ReactElement => createElement('p', { key, className: who }, `${who}: ${text}`);
  return createElement('section', null,
    messages.map(({ role, content: text }, index) => line(role, text, `${index}`)),
    thinking === '' ? null : line('thinking', thinking, 'thinking'),
    content === '' ? null : line('assistant', content, 'content'),
    error === undefined ? null : line('error', error, 'error'),
    createElement('button', { id: 'send', onClick: () => (busy ? stop() : send('5 + 8 =')) }, busy ? 'Stop' : 'Ask 5 + 8'));
}

function element<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as E;
}

const [models, examples, button, output] = [element<HTMLSelectElement>('model'), element<HTMLSelectElement>('example'), element<HTMLButtonElement>('run'), element('output')];
examples.append(...Object.keys(EXAMPLES).map((name) => new Option(name)));
let loaded: { name: string; model: ReturnType<typeof loadModel> } | undefined;
button.addEventListener('click', async () => {
  button.disabled = true;
  output.textContent = '';
  try {
    if (loaded?.name !== models.value) {
      await (await loaded?.model)?.unload();
      loaded = { name: models.value, model: loadModel(models.value) };
    }
    const result = await EXAMPLES[examples.value]?.(await loaded.model, (text) => output.append(text));
    output.append(`\n\n${JSON.stringify(result, null, 2) ?? ''}`);
  } catch (error) {
    output.append(`\n\n${String(error)}`);
  } finally {
    button.disabled = false;
  }
});
