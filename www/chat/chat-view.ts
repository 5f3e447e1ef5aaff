// The chat: turns, composer and the reply under way. `new ChatView(setup)` mounts it into `setup.host`, a block with a height; it takes a
// model (`view.model = …`), keeps its conversation in a ConversationStore, asks `setup.request()` for options before each reply, and knows
// nothing of the page around it. Style: ui/theme.css and chat/chat.css.

import { Qwen3Error, type ChatModel as AnyModel, type ChatOptions, type Device, type Message, type Reply, type ReplyEvent, type RunTool } from 'qwen3-web';
import { button, make } from '../ui/dom.js';
import { rate } from '../ui/format.js';
import { icon } from '../ui/icons.js';
import { label, say, text, type MessageKey } from '../ui/messages.js';
import { copyButton } from './copy.js';
import { messagesOf, newConversation, type Answer, type Attachment, type Conversation, type ConversationStore, type Question } from './conversations.js';
import { ReplyView } from './reply-view.js';

/** What the chat needs of a model: one of the package is one, loaded here or behind a server. */
export type ChatModel = Pick<AnyModel, 'chat' | 'run'> & { readonly info: { readonly name: string; readonly device?: Device } };

/** What goes to the model with a question. */
export interface Request {
  /** Goes before the conversation, if not empty. */
  systemPrompt: string;
  options: ChatOptions;
  /** What the model may call; each call and its result are shown. */
  tools?: RunTool[];
}

/** What the chat is made of. */
export interface ChatSetup {
  host: HTMLElement;
  store: ConversationStore;
  /** Asked before each reply. */
  request(): Request;
  onProblem(error: unknown): void;
  /** Told of each reply as it begins, with what was sent. */
  onReply?(reply: AsyncIterable<ReplyEvent>, messages: Message[], options: ChatOptions): void;
  /** Shown while the conversation is empty. */
  welcome?: HTMLElement;
  /** Asked when pressed; shown under the welcome. */
  suggestions?: readonly MessageKey[];
  /** Asked for what goes along with a question that comes without. */
  attach?(question: string): Promise<Attachment | undefined>;
  /** Beside the send button. */
  controls?: readonly HTMLElement[];
  /** Buttons under each answer, besides copy and regenerate. */
  answerActions?(answer: Answer): readonly HTMLElement[];
}

/** While a reply runs, this often it is kept as it is. */
const KEEP_EVERY_MS = 2000;
/** This near to the end counts as the end. */
const END_PIXELS = 120;

/** The chat. */
export class ChatView {
  readonly #setup: ChatSetup;
  readonly #scroller = make('div', 'scroller');
  readonly #empty = make('section', 'welcome');
  readonly #turns = make('ol', 'turns');
  readonly #announce = make('p', 'visually-hidden');
  readonly #prompt = make('textarea');
  readonly #send = label(make('button', 'round primary', icon('send')), 'send');
  readonly #stop = label(button('round primary', () => this.stop(), icon('stop')), 'stop');
  readonly #speed = make('span', 'speed');
  readonly #end = label(button('round', () => this.#toEnd(), icon('down')), 'toEnd');
  readonly #listeners: (() => void)[] = [];
  #conversation = newConversation();
  /** The elements of the turns, in their order. */
  #elements: HTMLLIElement[] = [];
  #model: ChatModel | undefined;
  #reply: Pick<Reply, 'abort'> | undefined;
  /** The end of the conversation stays in view, until somebody scrolls away from it. */
  #following = true;
  #frame: number | undefined;

  constructor(setup: ChatSetup) {
    this.#setup = setup;
    setup.host.classList.add('chat');
    label(this.#turns, 'conversation');
    this.#announce.setAttribute('role', 'status');
    this.#end.hidden = true;
    this.#fillEmpty();
    this.#scroller.append(this.#empty, this.#turns, this.#announce, make('div', 'to-end', this.#end));
    setup.host.append(this.#scroller, this.#composer());
    this.#scroller.addEventListener('scroll', () => {
      this.#following = this.#atEnd();
      this.#end.hidden = this.#following;
    }, { passive: true });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !event.defaultPrevented && document.querySelector('dialog[open]') === null) this.stop();
    });
    this.#update();
  }

  /** The model that answers from now on; none while one is loaded. */
  set model(model: ChatModel | undefined) {
    if (model === this.#model) return;
    this.stop();
    this.#model = model;
    this.#update();
  }

  /** Where it is mounted. */
  get element(): HTMLElement {
    return this.#setup.host;
  }

  /** The conversation that is shown. */
  get conversation(): Conversation {
    return this.#conversation;
  }

  /** Whether a reply is under way. */
  get running(): boolean {
    return this.#reply !== undefined;
  }

  /** Shows a conversation; without one, begins a new one. */
  open(conversation: Conversation = newConversation()): void {
    this.stop();
    this.#reply = undefined;
    this.#conversation = conversation;
    this.#elements = [];
    this.#turns.replaceChildren();
    this.#speed.textContent = '';
    for (const [index, turn] of conversation.turns.entries()) {
      if (turn.role === 'user') this.#place(index, this.#questionElement(turn));
      else {
        const view = new ReplyView();
        view.restore(turn);
        this.#actions(view, turn);
        this.#place(index, view.element);
      }
    }
    this.#update();
    this.#end.hidden = true;
    this.#toEnd();
    this.#tell();
  }

  /** Calls `listener` when another conversation is shown, and when this one is kept. */
  onConversation(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Puts the cursor where one writes. */
  focus(): void {
    this.#prompt.focus({ preventScroll: true });
  }

  /** Ends the reply under way; what there is of it stays. */
  stop(): void {
    this.#reply?.abort();
  }

  /** Asks the model, shows the reply, and passes on its events. */
  async *ask(content: string, options: ChatOptions = {}, attachment?: Attachment): AsyncGenerator<ReplyEvent, void> {
    if (this.#model === undefined) throw new Qwen3Error('busy', text('noModel'));
    const along = attachment ?? await this.#setup.attach?.(content);
    const question: Question = { role: 'user', content, ...(along === undefined ? {} : { attachment: along }) };
    const { turns } = this.#conversation;
    turns.push(question);
    if (turns.length === 1) this.#conversation.title = along?.title ?? content.split('\n', 1)[0]?.slice(0, 80) ?? '';
    this.#place(turns.length - 1, this.#questionElement(question));
    yield* this.#answer(options);
  }

  /** Replies to the last question. */
  async *#answer(given: ChatOptions): AsyncGenerator<ReplyEvent, void> {
    const model = this.#model;
    if (model === undefined) throw new Qwen3Error('busy', text('noModel'));
    const conversation = this.#conversation;
    const { systemPrompt, options, tools = [] } = this.#setup.request();
    const system: Message[] = systemPrompt.trim() === '' ? [] : [{ role: 'system', content: systemPrompt }];
    const messages = [...system, ...messagesOf(conversation.turns)];
    const merged = { ...options, ...given };
    const reply = tools.length === 0 ? model.chat(messages, merged) : model.run(messages, { ...merged, tools });
    const events: AsyncIterable<ReplyEvent> = reply;
    const view = new ReplyView(() => reply.skipThinking());
    const answer: Answer = { role: 'assistant', messages: [], thinkingMs: [] };
    conversation.turns.push(answer);
    this.#place(conversation.turns.length - 1, view.element);
    this.#reply = reply;
    this.#following = true;
    this.#update();
    this.#keep(conversation);
    this.#setup.onReply?.(events, messages, merged);
    const speed = new Speedometer(this.#speed);
    let kept = performance.now();
    let phase = '';
    try {
      for await (const event of events) {
        view.show(event);
        speed.take(event);
        extend(answer.messages, event);
        this.#frame ??= requestAnimationFrame(() => this.#follow());
        if ((event.type === 'thinking' || event.type === 'content') && event.type !== phase) {
          phase = event.type;
          this.#announce.textContent = text(phase === 'thinking' ? 'thinking' : 'answering');
        }
        if (event.type === 'done') {
          const { content, finishReason, usage, timings } = event.result;
          if (answer.messages.length === 0) answer.messages.push({ role: 'assistant', content });
          answer.figures = { finishReason, usage, timings, model: model.info.name, ...(model.info.device === undefined ? {} : { device: model.info.device }) };
          view.end(answer.figures);
          answer.thinkingMs = view.thinkingMs;
          // Once, when it is whole: a region that changes with every token stutters.
          this.#announce.textContent = content === '' ? text('replyEnded') : content;
          this.#finish(reply, view, answer, conversation);
        } else if (performance.now() - kept > KEEP_EVERY_MS) {
          kept = performance.now();
          this.#keep(conversation);
        }
        yield event;
      }
    } catch (error) {
      view.fail();
      throw error;
    } finally {
      this.#finish(reply, view, answer, conversation);
    }
  }

  #finish(reply: Pick<Reply, 'abort'>, view: ReplyView, answer: Answer, conversation: Conversation): void {
    if (this.#reply !== reply) return;
    this.#reply = undefined;
    this.#actions(view, answer);
    this.#update();
    this.#keep(conversation);
    this.#follow();
  }

  #keep(conversation: Conversation): void {
    conversation.updatedAt = Date.now();
    this.#setup.store.put(conversation).catch((error: unknown) => this.#setup.onProblem(error));
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Runs a reply that nobody else listens to. */
  async #run(events: AsyncGenerator<ReplyEvent, void>): Promise<void> {
    try {
      for await (const event of events) {
        if (event.type === 'done' && document.activeElement === document.body) this.focus();
      }
    } catch (error) {
      this.#setup.onProblem(error);
    }
  }

  #submit(): void {
    const prompt = this.#prompt.value.trim();
    if (prompt === '' || this.#model === undefined || this.#reply !== undefined) return;
    this.#prompt.value = '';
    void this.#run(this.ask(prompt));
  }

  /** Forgets the turns from there on. */
  #cut(index: number): void {
    this.#conversation.turns.length = index;
    for (const element of this.#elements.splice(index)) element.remove();
  }

  #indexOf(element: Element): number {
    return this.#elements.findIndex((candidate) => candidate === element);
  }

  #regenerate(element: Element): void {
    const index = this.#indexOf(element);
    if (index < 1 || this.#model === undefined || this.#reply !== undefined) return;
    this.#cut(index);
    void this.#run(this.#answer({}));
  }

  #place(index: number, element: HTMLLIElement): void {
    this.#elements[index] = element;
    this.#turns.append(element);
    this.#empty.hidden = true;
  }

  #questionElement(question: Question): HTMLLIElement {
    const element = make('li', 'turn user');
    const foot = make('div', 'turn-foot');
    foot.append(
      copyButton(() => question.content),
      label(button('icon-button', () => this.#edit(element, question), icon('edit')), 'edit'),
    );
    const { attachment } = question;
    if (attachment !== undefined) {
      const details = make('details', 'attachment');
      details.append(make('summary', '', icon('file'), attachment.title), make('div', 'text', attachment.text));
      element.append(details);
      if (attachment.note !== undefined) element.append(make('p', 'notice', attachment.note));
    }
    element.append(make('p', 'question', question.content), foot);
    return element;
  }

  /** Lets a question be written anew; what came after it goes when it is sent again. */
  #edit(element: HTMLLIElement, question: Question): void {
    if (this.#reply !== undefined || element.querySelector('form') !== null) return;
    const form = make('form', 'edit');
    const field = label(make('textarea'), 'editMessage');
    field.value = question.content;
    const close = (): void => {
      form.remove();
      element.classList.remove('editing');
    };
    const again = say(make('button', 'primary'), 'resend');
    form.append(field, make('div', 'edit-row', say(button('', close), 'cancel'), again));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const content = field.value.trim();
      const index = this.#indexOf(element);
      if (content === '' || index < 0 || this.#model === undefined || this.#reply !== undefined) return;
      this.#cut(index);
      void this.#run(this.ask(content, {}, question.attachment));
    });
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.preventDefault();
        close();
      }
      if (isEnter(event)) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    element.classList.add('editing');
    element.append(form);
    field.focus();
  }

  #actions(view: ReplyView, answer: Answer): void {
    view.foot.prepend(
      copyButton(() => answer.messages.map((message) => (message.role === 'assistant' ? message.content : '')).filter((part) => part !== '').join('\n\n')),
      label(button('icon-button', () => this.#regenerate(view.element), icon('again')), 'regenerate'),
      ...this.#setup.answerActions?.(answer) ?? [],
    );
  }

  #fillEmpty(): void {
    const suggestions = (this.#setup.suggestions ?? []).map((suggestion) => say(button('', () => {
      this.#prompt.value = text(suggestion);
      this.#submit();
    }), suggestion));
    if (this.#setup.welcome !== undefined) this.#empty.append(this.#setup.welcome);
    if (suggestions.length > 0) this.#empty.append(make('div', 'suggestions', ...suggestions));
  }

  #composer(): HTMLFormElement {
    const form = make('form', 'composer');
    this.#prompt.id = 'prompt';
    this.#prompt.rows = 1;
    this.#prompt.autocomplete = 'off';
    label(this.#prompt, 'yourMessage');
    say(this.#prompt, 'askSomething', {}, 'placeholder');
    this.#speed.setAttribute('aria-hidden', 'true');
    form.append(this.#prompt, make('div', 'composer-row', ...this.#setup.controls ?? [], this.#speed, this.#send, this.#stop));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener('keydown', (event) => {
      if (isEnter(event)) {
        event.preventDefault();
        this.#submit();
      }
      if (event.key === 'ArrowUp' && this.#prompt.value === '') this.#editLast(event);
    });
    this.#prompt.addEventListener('input', () => this.#update());
    return form;
  }

  #editLast(event: KeyboardEvent): void {
    const index = this.#conversation.turns.findLastIndex((turn) => turn.role === 'user');
    const [element, question] = [this.#elements[index], this.#conversation.turns[index]];
    if (element === undefined || question?.role !== 'user') return;
    event.preventDefault();
    this.#edit(element, question);
  }

  #update(): void {
    const running = this.#reply !== undefined;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    this.#send.disabled = this.#model === undefined || this.#prompt.value.trim() === '';
    this.#setup.host.classList.toggle('running', running);
    this.#setup.host.classList.toggle('no-model', this.#model === undefined);
    this.#empty.hidden = this.#elements.length > 0;
    for (const suggestion of this.#empty.querySelectorAll<HTMLButtonElement>('.suggestions button')) suggestion.disabled = this.#model === undefined;
  }

  #atEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < END_PIXELS;
  }

  #follow(): void {
    this.#frame = undefined;
    if (this.#following) this.#toEnd();
    else this.#end.hidden = this.#atEnd();
  }

  #toEnd(): void {
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: 'instant' });
  }
}

/** Takes an event into the messages of a reply that is not whole yet. */
function extend(messages: Message[], event: ReplyEvent): void {
  if (event.type === 'toolResult') messages.push({ role: 'tool', content: event.content, toolCallId: event.toolCallId, name: event.name });
  if (event.type !== 'thinking' && event.type !== 'content' && event.type !== 'toolCall') return;
  let last = messages.at(-1);
  if (last?.role !== 'assistant') {
    last = { role: 'assistant', content: '' };
    messages.push(last);
  }
  if (event.type === 'thinking') last.thinking = (last.thinking ?? '') + event.text;
  else if (event.type === 'content') last.content += event.text;
  else (last.toolCalls ??= []).push({ id: event.id, name: event.name, arguments: event.arguments });
}

/** While an input method composes, Enter belongs to it. */
function isEnter(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing;
}

/** Shows the speed while a reply runs: one delta is about one token. */
class Speedometer {
  readonly #element: HTMLElement;
  #first: number | undefined;
  #deltas = 0;
  #shown = 0;

  constructor(element: HTMLElement) {
    this.#element = element;
    element.textContent = '';
  }

  take(event: ReplyEvent): void {
    if (event.type === 'prefill' && event.processed < event.total) {
      this.#element.textContent = text('readingPrompt', { processed: event.processed, total: event.total });
    }
    if (event.type === 'done') this.#element.textContent = '';
    if (event.type !== 'thinking' && event.type !== 'content') return;
    const now = performance.now();
    this.#first ??= now;
    this.#deltas += 1;
    const elapsed = now - this.#first;
    if (elapsed < 200 || now - this.#shown < 250) return;
    this.#shown = now;
    this.#element.textContent = text('tokensPerSecond', { rate: rate(((this.#deltas - 1) / elapsed) * 1000) });
  }
}
