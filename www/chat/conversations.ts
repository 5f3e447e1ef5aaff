// Conversations and where they are kept: in IndexedDB, shared by the tabs of the site, or in memory where there is none.

import { openDB, type DBSchema } from 'idb';
import type { ChatResult, Device, Message } from 'qwen3-web';

/** Text that goes to the model before a question, shown folded under a title. */
export interface Attachment {
  title: string;
  /** What was left out of it, or other things to know. */
  note?: string;
  /** Exactly as the model gets it. */
  text: string;
}

/** What a person asked. */
export interface Question {
  role: 'user';
  content: string;
  attachment?: Attachment;
}

/** What came back. */
export interface Answer {
  role: 'assistant';
  /** What the reply added to the conversation: with tools also its calls and their results. */
  messages: Message[];
  /** How long each of these messages thought. */
  thinkingMs: number[];
  /** Absent while it runs, and where it broke off. */
  figures?: Pick<ChatResult, 'finishReason' | 'usage' | 'timings'> & { device?: Device; model: string };
}

/** One turn. */
export type Turn = Question | Answer;

/** A conversation. */
export interface Conversation {
  id: string;
  title: string;
  /** Milliseconds since 1970, as is the next. */
  createdAt: number;
  updatedAt: number;
  turns: Turn[];
}

/** What a list shows of a conversation. */
export type Summary = Omit<Conversation, 'turns'>;

/** Keeps conversations. */
export interface ConversationStore {
  /** All, the last used first. */
  list(): Promise<Summary[]>;
  /** Nothing if there is none of that id. */
  get(id: string): Promise<Conversation | undefined>;
  /** Writes it whole, in place of one with the same id. */
  put(conversation: Conversation): Promise<void>;
  /** Nothing happens if there is none of that id. */
  delete(id: string): Promise<void>;
  /** Calls `listener` after every change, those by other tabs too. */
  onChange(listener: () => void): void;
}

/** The messages that a model is given for these turns. */
export function messagesOf(turns: readonly Turn[]): Message[] {
  return turns.flatMap((turn): Message[] => {
    if (turn.role === 'assistant') return turn.messages;
    return [{ role: 'user', content: turn.attachment === undefined ? turn.content : `${turn.attachment.text}\n\n${turn.content}` }];
  });
}

/** A new, empty conversation. */
export function newConversation(): Conversation {
  const now = Date.now();
  // Not randomUUID: pages that are not served securely have none.
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { id, title: '', createdAt: now, updatedAt: now, turns: [] };
}

interface Schema extends DBSchema {
  summaries: { key: string; value: Summary };
  turns: { key: string; value: Turn[] };
}

/** The conversations of this site's database; kept in memory where the browser gives none. */
export function openConversations(name = 'qwen3-web-conversations'): ConversationStore {
  const listeners: (() => void)[] = [];
  const changed = (): void => {
    for (const listener of listeners) listener();
  };
  const tabs = new BroadcastChannel(name);
  tabs.onmessage = changed;
  const store = databaseStore(name, (id) => {
    tabs.postMessage(id);
    changed();
  }).catch(() => memoryStore(changed));
  return {
    list: async () => (await (await store).list()).sort((a, b) => b.updatedAt - a.updatedAt),
    get: async (id) => (await store).get(id),
    put: async (conversation) => (await store).put(conversation),
    delete: async (id) => (await store).delete(id),
    onChange: (listener) => void listeners.push(listener),
  };
}

type Kept = Omit<ConversationStore, 'onChange'>;

async function databaseStore(name: string, changed: (id: string) => void): Promise<Kept> {
  const database = await openDB<Schema>(name, 1, {
    upgrade(created) {
      created.createObjectStore('summaries', { keyPath: 'id' });
      created.createObjectStore('turns');
    },
  });
  return {
    list: () => database.getAll('summaries'),
    async get(id) {
      const [summary, turns] = await Promise.all([database.get('summaries', id), database.get('turns', id)]);
      return summary === undefined ? undefined : { ...summary, turns: turns ?? [] };
    },
    async put({ turns, ...summary }) {
      const transaction = database.transaction(['summaries', 'turns'], 'readwrite');
      await Promise.all([
        transaction.objectStore('summaries').put(summary), transaction.objectStore('turns').put(turns, summary.id), transaction.done,
      ]);
      changed(summary.id);
    },
    async delete(id) {
      const transaction = database.transaction(['summaries', 'turns'], 'readwrite');
      await Promise.all([transaction.objectStore('summaries').delete(id), transaction.objectStore('turns').delete(id), transaction.done]);
      changed(id);
    },
  };
}

/** Ends with the page. */
function memoryStore(changed: () => void): Kept {
  const kept = new Map<string, Conversation>();
  return {
    list: () => Promise.resolve([...kept.values()].map(({ turns: _, ...summary }) => summary)),
    get: (id) => Promise.resolve(structuredClone(kept.get(id))),
    put(conversation) {
      kept.set(conversation.id, structuredClone(conversation));
      changed();
      return Promise.resolve();
    },
    delete(id) {
      kept.delete(id);
      changed();
      return Promise.resolve();
    },
  };
}
