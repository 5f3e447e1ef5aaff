// The list of kept conversations: opens them, begins new ones, deletes them after a second press.

import { button, make } from '../ui/dom.js';
import { icon } from '../ui/icons.js';
import { label, say } from '../ui/messages.js';
import type { ChatView } from './chat-view.js';
import { exportJson, exportMarkdown } from './export.js';
import type { ConversationStore, Summary } from './conversations.js';

/** How long a delete button waits for the second press. */
const CONFIRM_MS = 3000;

/** Shows the conversations of a store beside a chat. */
export class ConversationList {
  readonly element = make('nav', 'conversations');
  readonly #store: ConversationStore;
  readonly #view: ChatView;
  readonly #onOpen: () => void;
  readonly #onProblem: (error: unknown) => void;
  readonly #list = make('ul');

  constructor(store: ConversationStore, view: ChatView, onOpen: () => void, onProblem: (error: unknown) => void) {
    this.#store = store;
    this.#view = view;
    this.#onOpen = onOpen;
    this.#onProblem = onProblem;
    const begin = button('new-chat', () => {
      view.open();
      view.focus();
      onOpen();
    }, icon('plus'), say(make('span'), 'newChat'));
    begin.id = 'new-chat';
    this.element.append(begin, this.#list);
    label(this.element, 'conversations');
    store.onChange(() => void this.refresh());
    void this.refresh();
  }

  /** Reads the list anew. */
  async refresh(): Promise<void> {
    try {
      this.#list.replaceChildren(...(await this.#store.list()).map((summary) => this.#item(summary)));
    } catch (error) {
      this.#onProblem(error);
    }
  }

  #item(summary: Summary): HTMLLIElement {
    const open = button('conversation', () => void this.#open(summary.id), summary.title);
    open.title = summary.title;
    if (summary.id === this.#view.conversation.id) open.setAttribute('aria-current', 'true');
    const remove = label(button('icon-button', () => this.#confirm(remove, summary.id), icon('trash')), 'deleteConversation', { title: summary.title });
    return make('li', '', open, remove);
  }

  async #open(id: string): Promise<void> {
    try {
      const conversation = await this.#store.get(id);
      if (conversation !== undefined) this.#view.open(conversation);
      await this.refresh();
      this.#onOpen();
    } catch (error) {
      this.#onProblem(error);
    }
  }

  #confirm(remove: HTMLButtonElement, id: string): void {
    if (remove.classList.contains('sure')) {
      if (id === this.#view.conversation.id) this.#view.open();
      this.#store.delete(id).catch(this.#onProblem);
      return;
    }
    remove.classList.add('sure');
    label(remove, 'pressAgainToDelete');
    setTimeout(() => remove.classList.remove('sure'), CONFIRM_MS);
  }
}

/** The buttons that offer the shown conversation as a file. */
export function exportButtons(view: ChatView): HTMLElement {
  const markdown = button('quiet-button', () => exportMarkdown(view.conversation), 'Markdown');
  const json = button('quiet-button', () => exportJson(view.conversation), 'JSON');
  const made = make('div', 'exports', say(make('span', 'quiet'), 'export'), label(markdown, 'exportMarkdown'), label(json, 'exportJson'));
  const update = (): void => {
    made.hidden = view.conversation.turns.length === 0;
  };
  view.onConversation(update);
  update();
  return made;
}
