// What the sidebar adds to the chat: asking about the page beside it, summarising it, explaining a selection, typing an answer into it.

import { Qwen3Error, type Message, type Model } from 'qwen3-web';
import type { ChatView, Request } from '../www/chat/chat-view.js';
import { messagesOf, type Attachment, type Conversation } from '../www/chat/conversations.js';
import { button, make } from '../www/ui/dom.js';
import { icon } from '../www/ui/icons.js';
import { say, text } from '../www/ui/messages.js';
import { quoted, type Kind } from './quoted.js';
import type { PanelRequest } from './requests.js';
import type { PageText } from './page-text.js';
import { activeTab, insert, NotAllowed, readSelection, readTab, titleOf } from './tab.js';

/** Kept free for the reply, but never more than half of the context. */
const REPLY_TOKENS = { thinking: 1536, plain: 768 };

/** What the bar works with. */
export interface PageBarSetup {
  chat(): ChatView;
  model(): Model | undefined;
  request(): Request;
  onProblem(error: unknown): void;
}

/** The bar between the conversation and the composer. */
export class PageBar {
  readonly element = make('section', 'page-bar');
  readonly #setup: PageBarSetup;
  readonly #ask = say(button('', () => this.#toggle()), 'askPage');
  readonly #hint = make('p', 'hint');
  /** Goes with the next question. */
  #page: { tabId: number; page: PageText } | undefined;
  /** What waits until the user lets the extension read the page. */
  #wish: ((tabId: number) => Promise<void>) | undefined;
  /** What a conversation is about, with the page's text if it has that: one page at most, so that no page meets the text of another. */
  readonly #about = new WeakMap<Conversation, { url: string; text?: string }>();

  constructor(setup: PageBarSetup) {
    this.#setup = setup;
    this.#ask.prepend(icon('file'));
    this.#ask.setAttribute('aria-pressed', 'false');
    this.#hint.setAttribute('role', 'status');
    this.element.append(this.#ask, say(button('', () => this.#do((tabId) => this.#summarise(tabId))), 'summarise'), this.#hint);
    chrome.tabs.onActivated.addListener(() => this.#forget());
    chrome.tabs.onUpdated.addListener((tabId, { url, status }) => {
      if (tabId === this.#page?.tabId && (url !== undefined || status === 'loading')) this.#forget();
    });
  }

  /** Does what was asked for outside of the panel. */
  take(request: PanelRequest): void {
    const { action, tabId } = request;
    const wish = this.#wish;
    if (action === 'open' && wish !== undefined) this.#do(() => wish(tabId));
    if (action === 'ask') this.#do(() => this.#choose(tabId));
    if (action === 'summarise') this.#do(() => this.#summarise(tabId));
    if (action === 'explain') this.#do(() => this.#explain(tabId, request.frameId, request.selection));
  }

  /** What goes with a question that is being sent. */
  async attach(question: string): Promise<Attachment | undefined> {
    const page = this.#page?.page;
    this.#forget();
    return page === undefined ? undefined : this.#quote(page, 'page', question);
  }

  /** The button that types an answer into the page. */
  insertButton(answer: () => string): HTMLButtonElement {
    const made = button('quiet-button', () => this.#do(async (tabId) => {
      await insert(tabId, answer());
      say(made, 'inserted');
      setTimeout(() => say(made, 'insert'), 2000);
    }));
    return say(made, 'insert');
  }

  #toggle(): void {
    if (this.#page === undefined) this.#do((tabId) => this.#choose(tabId));
    else this.#forget();
  }

  async #choose(tabId: number): Promise<void> {
    const page = await readTab(tabId);
    this.#page = { tabId, page };
    this.#ask.setAttribute('aria-pressed', 'true');
    say(this.#hint, 'pageGoesAlong', { title: page.title });
    this.#setup.chat().focus();
  }

  #forget(): void {
    this.#page = undefined;
    this.#wish = undefined;
    this.#ask.setAttribute('aria-pressed', 'false');
    this.#hint.replaceChildren();
  }

  async #summarise(tabId: number): Promise<void> {
    const question = text('summariseRequest');
    await this.#send(question, await this.#quote(await readTab(tabId), 'page', question));
  }

  async #explain(tabId: number, frameId: number, selection: string): Promise<void> {
    const question = text('explainRequest');
    const passage = (await readSelection(tabId, frameId)) || selection;
    const { title, url } = await titleOf(tabId);
    await this.#send(question, await this.#quote({ title, url, text: passage }, 'selection', question));
  }

  async #send(question: string, attachment: Attachment | undefined): Promise<void> {
    for await (const _ of this.#setup.chat().ask(question, {}, attachment)) { /* the chat shows it */ }
  }

  /** The page as it goes before a question: not again where the conversation has it, and in one of its own where that is about another. */
  async #quote(page: PageText, kind: Kind, question: string): Promise<Attachment | undefined> {
    const chat = this.#setup.chat();
    const model = this.#setup.model();
    if (model === undefined) throw new Qwen3Error('busy', text('noModel'));
    await idle(chat);
    const about = this.#about.get(chat.conversation);
    const same = about?.url === page.url && (kind === 'selection' || about.text === undefined || about.text === page.text);
    if (same && kind === 'page' && about.text !== undefined) return undefined;
    if (!same && chat.conversation.turns.length > 0) chat.open();
    let attachment = await this.#fitted(model, page, kind, question);
    if (attachment.note !== undefined && chat.conversation.turns.length > 0) {
      chat.open();
      attachment = await this.#fitted(model, page, kind, question);
    }
    this.#about.set(chat.conversation, { ...this.#about.get(chat.conversation), url: page.url, ...(kind === 'page' ? { text: page.text } : {}) });
    return attachment;
  }

  #fitted(model: Model, page: PageText, kind: Kind, question: string): Promise<Attachment> {
    const { systemPrompt, options } = this.#setup.request();
    const { contextLength } = model.info;
    const room = contextLength - Math.min(options.enableThinking === false ? REPLY_TOKENS.plain : REPLY_TOKENS.thinking, contextLength / 2);
    const system: Message[] = systemPrompt.trim() === '' ? [] : [{ role: 'system', content: systemPrompt }];
    const before = [...system, ...messagesOf(this.#setup.chat().conversation.turns)];
    return quoted(page, kind, room, async (attachment) => {
      const messages = [...before, ...messagesOf([{ role: 'user', content: question, attachment }])];
      return await model.countTokens(messages, options) <= room;
    });
  }

  /** Does something with a page; where the user has to allow it first, says so and waits. */
  #do(work: (tabId: number) => Promise<void>): void {
    this.#wish = undefined;
    activeTab().then(work).catch((error: unknown) => {
      if (!(error instanceof NotAllowed)) return this.#setup.onProblem(error);
      this.#wish = work;
      say(this.#hint, 'allowPage');
    });
  }
}

/** Ends the reply under way, and waits until it has. */
async function idle(chat: ChatView): Promise<void> {
  while (chat.running) {
    chat.stop();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
