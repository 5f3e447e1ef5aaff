// The demo page's entry: puts the model panel and the chat together, and lets scripts drive the same page.

import './index.html';
import './style.css';
import './icon.svg';
import { catalogue, diagnose, fullName, type ChatOptions, type ModelInfo, type ReplyEvent } from 'qwen3-web';
import { Chat } from './chat.js';
import { Models } from './models.js';

/** How a script drives the page: what it does shows on the page as if a person had done it. */
export interface DemoHook {
  /** Settles when the model of the page's address is loaded or has failed to. */
  ready: Promise<ModelInfo>;
  /** Sends a prompt; yields the reply's events as they come. */
  run(prompt: string, options?: ChatOptions): AsyncGenerator<ReplyEvent, void>;
  diagnose: typeof diagnose;
}

declare global {
  interface Window {
    qwen3Demo: DemoHook;
  }
}

const models = new Models((model) => {
  chat.model = model;
});
const chat = new Chat((error) => models.showProblem(error));

/** `?model=` a name or an address, `?device=`, and `?prompt=` to be asked as soon as the model is there. */
const query = new URLSearchParams(location.search);
const device = query.get('device');
if (device === 'webgpu' || device === 'cpu') models.device = device;
const [first] = catalogue;
const ready = models.load(query.get('model') ?? (first === undefined ? '' : fullName(first))).then((model) => model.info);

window.qwen3Demo = {
  ready,
  async *run(prompt, options) {
    await ready;
    yield* chat.ask(prompt, options);
  },
  diagnose,
};

const prompt = query.get('prompt');
// A failure to load has been shown already.
ready.then(async () => {
  if (prompt === null) return;
  for await (const _ of chat.ask(prompt)) { /* the chat shows it */ }
}).catch((error: unknown) => models.showProblem(error));
