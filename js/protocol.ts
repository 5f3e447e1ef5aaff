// What the page and the engine's thread say to each other, and the channel that carries it over any message port.

import { asQwen3Error, Qwen3Error, toPlain, type PlainError } from './errors.js';
import type { Manifest } from './store/manifest.js';
import type { HashedChunk } from './store/reader.js';
import type { Chunk } from './store/store.js';
import type { ChatOptions, ChatResult, Device, Logger, Message, ModelInfo, Progress, ReplyEvent, SavedReply, Verification } from './types.js';

/** One file of a model: its addresses in the order they are tried, and what is known of it. */
export interface RemoteFile {
  urls: string[];
  sizeBytes?: number;
  sha256?: string;
}

/** A model source as data. `body` is a stream the page holds (see {@link PageCalls.read}). */
export type PlainSource =
  | { kind: 'files'; name: string; files: RemoteFile[]; tokenizer?: RemoteFile; embedded?: boolean }
  | { kind: 'folder'; name: string; url: string }
  | { kind: 'blob'; name: string; blob: Blob }
  | { kind: 'stream'; name: string; body: number };

/** The options of a load that concern the engine's thread. */
export interface PlainLoadOptions {
  device: 'auto' | Device;
  kernels?: 'hardware' | 'software';
  contextLength?: number;
  yarnFactor?: number;
  kvCache?: 'q8';
  gpuTimestamps?: true;
  threads?: number;
  cache: 'indexeddb' | 'memory' | 'none';
  headers: Record<string, string>;
  /** Requests go through {@link PageCalls.fetch}, because the caller brought their own `fetch`. */
  pageFetch: boolean;
  connections: number;
  stallTimeoutMs?: number;
}

/** Options of a reply without what only the page can hold. */
export type PlainChatOptions = Omit<ChatOptions, 'signal'>;

/** What the page asks of the engine's thread. */
export interface HostCalls {
  load(source: PlainSource, options: PlainLoadOptions): ModelInfo;
  /** Stores a model without loading it; from `files`, if they are given, instead of the network. */
  download(source: PlainSource, options: PlainLoadOptions, files?: File[]): void;
  /** Nothing if the model is not stored. */
  verify(name: string, repair: boolean, options: PlainLoadOptions): Verification | undefined;
  /** Returns when the reply has ended; its events come before, as notices with this `reply` number. */
  chat(reply: number, messages: Message[], options: PlainChatOptions): void;
  complete(reply: number, prompt: string, options: PlainChatOptions): void;
  resume(reply: number, saved: SavedReply): void;
  save(reply: number): SavedReply;
  prefill(messages: Message[], options: PlainChatOptions): void;
  tokenize(text: string): Uint32Array;
  detokenize(ids: Uint32Array): string;
  applyChatTemplate(messages: Message[], options: PlainChatOptions): string;
  countTokens(messages: Message[], options: PlainChatOptions): number;
  logits(ids: Uint32Array): Float32Array;
  unload(): void;
  /** Of another such thread, which reads for the engine's. */
  openReader(): void;
  /** A chunk in the browser's database; nothing if it is not there. */
  readHashed(name: string, file: number, chunk: number): HashedChunk | undefined;
}

/** What the engine's thread tells the page unasked. */
export type HostNotice =
  | { type: 'progress'; progress: Progress }
  | { type: 'event'; reply: number; event: ReplyEvent }
  | { type: 'log'; level: keyof Logger; message: string; data: object }
  /** The rest of a body is not wanted. */
  | { type: 'cancelBody'; body: number };

/** What the engine's thread asks of the page. */
export interface PageCalls {
  /** The head of a response of the caller's own `fetch`; its body is read under the number returned. */
  fetch(url: string, headers: Record<string, string>): { body: number; status: number; headers: [string, string][] };
  /** The next bytes of a body, nothing at its end. */
  read(body: number): Uint8Array<ArrayBuffer> | undefined;
  list(): Manifest[];
  manifest(name: string): Manifest | undefined;
  readChunk(name: string, file: number, chunk: number): Uint8Array<ArrayBuffer> | undefined;
  write(manifest: Manifest, chunk?: Chunk): void;
  delete(name: string): void;
}

/** What the page tells the engine's thread without waiting. */
export type PageNotice =
  | { type: 'cancelLoad' }
  | { type: 'abort'; reply: number }
  /** To another such thread, from the engine's: compute beside it. */
  | { type: 'work'; port: MessagePort }
  | { type: 'skipThinking'; reply: number };

/** A set of calls. */
type Calls<C> = { [M in keyof C]: (...args: never[]) => unknown };

/** The functions that answer a set of calls. */
export type Handlers<C extends Calls<C>> = {
  [M in keyof C]: (...args: Parameters<C[M]>) => ReturnType<C[M]> | Promise<ReturnType<C[M]>>;
};

type Packet<Notice> =
  | { kind: 'call'; id: number; method: string; args: unknown[] }
  | { kind: 'return'; id: number; value: unknown }
  | { kind: 'throw'; id: number; error: PlainError }
  | { kind: 'notice'; notice: Notice };

/** A `Worker`, a worker's global scope, or a `MessagePort`. */
export interface Port {
  postMessage(message: unknown, options?: { transfer?: Transferable[] }): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

/** The buffers that would otherwise be copied: those of byte and number arrays made for the message, by themselves or with their hash. */
function buffersOf(value: unknown): Transferable[] {
  const array = typeof value === 'object' && value !== null && 'bytes' in value ? value.bytes : value;
  return ArrayBuffer.isView(array) && array.buffer instanceof ArrayBuffer ? [array.buffer] : [];
}

/** The result of a reply that was aborted before its turn. */
export const NOTHING: ChatResult = {
  thinking: '', content: '', toolCalls: [], finishReason: 'abort',
  usage: { promptTokens: 0, cachedTokens: 0, thinkingTokens: 0, contentTokens: 0, completionTokens: 0 },
  timings: { timeToFirstTokenMs: 0, prefillTokensPerSecond: 0, decodeTokensPerSecond: 0, totalMs: 0 },
  seed: 0,
};

/** Calls in both directions over one port; errors keep their class and fields. */
export class Channel<Remote extends Calls<Remote>, Local extends Calls<Local>, NoticeIn, NoticeOut> {
  readonly #port: Port;
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Qwen3Error): void }>();
  #nextId = 0;
  #closed: Qwen3Error | undefined;

  constructor(port: Port, handlers: Handlers<Local>, onNotice: (notice: NoticeIn) => void) {
    this.#port = port;
    port.addEventListener('message', (event: MessageEvent<Packet<NoticeIn>>) => {
      const packet = event.data;
      switch (packet.kind) {
        case 'call':
          void this.#answer(packet.id, handlers, packet.method, packet.args);
          break;
        case 'return':
          this.#take(packet.id)?.resolve(packet.value);
          break;
        case 'throw':
          this.#take(packet.id)?.reject(asQwen3Error(packet.error));
          break;
        case 'notice':
          onNotice(packet.notice);
          break;
      }
    });
  }

  /** Asks the other side. */
  call<M extends keyof Remote & string>(method: M, ...args: Parameters<Remote[M]>): Promise<ReturnType<Remote[M]>> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const id = this.#nextId++;
    return new Promise<ReturnType<Remote[M]>>((resolve, reject) => {
      // The other side's handler for `method` is typed by the same table, so what returns under this id has its type.
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      try {
        this.#port.postMessage({ kind: 'call', id, method, args } satisfies Packet<NoticeOut>);
      } catch (error) {
        this.#pending.delete(id);
        reject(new Qwen3Error('invalid-argument', `an argument of ${method} cannot be sent to the engine: ${String(error)}`, {
          hint: 'pass plain data: no functions, DOM nodes or class instances', cause: error,
        }));
      }
    });
  }

  /** Tells the other side. */
  notify(notice: NoticeOut, transfer: Transferable[] = []): void {
    if (this.#closed === undefined) this.#port.postMessage({ kind: 'notice', notice } satisfies Packet<NoticeOut>, { transfer });
  }

  /** Fails what is pending and whatever is asked from now on. */
  close(error: Qwen3Error): void {
    this.#closed ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #take(id: number): { resolve(value: unknown): void; reject(error: Qwen3Error): void } | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  async #answer(id: number, handlers: Handlers<Local>, method: string, args: unknown[]): Promise<void> {
    try {
      if (!Object.hasOwn(handlers, method)) throw new Qwen3Error('internal', `no such call: ${method}`);
      // Both sides are built together from one table of calls: the arguments have the types of this method.
      const handler = handlers[method as keyof Local] as (...args: unknown[]) => unknown;
      const value = await handler(...args);
      this.#port.postMessage({ kind: 'return', id, value } satisfies Packet<NoticeOut>, { transfer: buffersOf(value) });
    } catch (error) {
      this.#port.postMessage({ kind: 'throw', id, error: toPlain(error) } satisfies Packet<NoticeOut>);
    }
  }
}
