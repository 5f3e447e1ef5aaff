// A loaded model as the page sees it: every method is a call over the channel to the engine's thread.

import { aborted, Qwen3Error, toPlain } from './errors.js';
import { logReply, silent } from './logger.js';
import { checkLoadOptions, show } from './options.js';
import { Bodies, pageHandlers } from './page.js';
import { Channel, NOTHING, type HostCalls, type HostNotice, type PageCalls, type PageNotice, type PlainChatOptions, type PlainLoadOptions } from './protocol.js';
import { Reply, type ReplySink } from './reply.js';
import { run } from './run/run.js';
import { plainSource } from './source.js';
import { requestPersistence } from './store/space.js';
import type { ChatModel, ChatOptions, LoadOptions, Logger, Message, ModelInfo, ModelSource, RunOptions, RunResult, SavedReply } from './types.js';

type HostChannel = Channel<HostCalls, PageCalls, HostNotice, PageNotice>;

/** The engine's thread, and how to end it. */
export interface Thread {
  channel: HostChannel;
  end(): void;
}

/** Loads a model; see {@link ModelSource} and {@link LoadOptions}. Rejects with a {@link Qwen3Error}, leaving nothing half-loaded. */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  checkLoadOptions(options);
  if (typeof Worker === 'undefined' && typeof window === 'undefined') {
    throw new Qwen3Error('invalid-argument', 'loadModel runs in a browser, and this is none', {
      hint: 'importing the package is fine anywhere: call loadModel in the page',
    });
  }
  const { signal, logger = silent } = options;
  if (hasFired(signal)) throw aborted(signal);
  const ended = new AbortController();
  const bodies = new Bodies();
  const plain = plainSource(source, (stream) => bodies.hold(stream));
  // What ships with the package is there like its code, and must not outlive an update of it.
  const cache = plain.kind === 'files' && plain.embedded === true ? 'none' : options.cache ?? 'indexeddb';
  const replies = new Map<number, ReplySink>();
  const thread = await startThread(options, bodies, ended.signal, (notice) => {
    if (notice.type === 'progress') {
      if (notice.progress.phase === 'download' && cache === 'indexeddb') requestPersistence();
      options.onProgress?.(notice.progress);
    } else if (notice.type === 'event') replies.get(notice.reply)?.event(notice.event);
    else if (notice.type === 'log') logger[notice.level](notice.message, notice.data);
    else bodies.cancel(notice.body);
  });
  const stop = (): void => {
    ended.abort();
    bodies.cancelAll();
    thread.end();
  };
  try {
    const info = await unlessAborted(thread, signal, thread.channel.call('load', plain, plainOptions({ ...options, cache })));
    if (hasFired(signal)) throw aborted(signal);
    logger.info('a model is loaded', info);
    return new Model(info, thread.channel, replies, stop, logger);
  } catch (error) {
    stop();
    logger.error('a model could not be loaded', toPlain(error));
    throw hasFired(signal) ? aborted(signal) : error;
  }
}

/** A thread that was told to give up may put things in order for so long: one that still waits for its own code does not even hear. */
const PATIENCE_MS = 2_000;

/** What comes of a load, a download or a check. When the signal fires the thread is told so; the caller ends it after that. */
export async function unlessAborted<T>({ channel }: Thread, signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return work;
  const settled = new AbortController();
  const givenUp = new Promise<never>((_, reject) => {
    const cancel = (): void => {
      channel.notify({ type: 'cancelLoad' });
      const timer = setTimeout(() => reject(aborted(signal)), PATIENCE_MS);
      settled.signal.addEventListener('abort', () => clearTimeout(timer));
    };
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true, signal: settled.signal });
  });
  return Promise.race([work, givenUp]).finally(() => settled.abort());
}

function hasFired(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** What concerns the engine's thread. */
export function plainOptions(options: LoadOptions): PlainLoadOptions {
  const { device = 'auto', cache = 'indexeddb', headers = {}, connections = 4, contextLength, yarnFactor, stallTimeoutMs, kernels = 'auto', kvCache = 'auto', gpuTimestamps = false, threads } = options;
  const plain: PlainLoadOptions = { device, cache, headers: { ...headers }, pageFetch: options.fetch !== undefined, connections };
  if (stallTimeoutMs !== undefined) plain.stallTimeoutMs = stallTimeoutMs;
  if (contextLength !== undefined) plain.contextLength = contextLength;
  if (yarnFactor !== undefined) plain.yarnFactor = yarnFactor;
  if (kernels !== 'auto') plain.kernels = kernels;
  if (kvCache !== 'auto') plain.kvCache = kvCache;
  if (gpuTimestamps) plain.gpuTimestamps = true;
  if (threads !== undefined) plain.threads = threads;
  return plain;
}

/** Starts the engine's thread, whose requests and streams go through the page until `ended`. */
export async function startThread(options: LoadOptions, bodies: Bodies, ended: AbortSignal, onNotice: (notice: HostNotice) => void): Promise<Thread> {
  const handlers = pageHandlers(bodies, options.fetch, ended);
  const gone = new Qwen3Error('invalid-argument', 'the model has been unloaded', { hint: 'load it again' });
  if (options.worker === false) {
    const { serve } = await import('./host.js');
    const { port1, port2 } = new MessageChannel();
    const channel: HostChannel = new Channel(port1, handlers, onNotice);
    serve(port2);
    port1.start();
    port2.start();
    return {
      channel,
      end() {
        channel.close(gone);
        port1.close();
      },
    };
  }
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'qwen3-web' });
  const channel: HostChannel = new Channel(worker, handlers, onNotice);
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    channel.close(new Qwen3Error('internal', event.message ? `the worker failed: ${event.message}` : 'the worker could not be started', {
      hint: 'worker.js must be served beside the package with a JavaScript MIME type, and worker-src of the CSP must allow it; with Vite in development, set optimizeDeps.exclude: [\'qwen3-web\']',
    }));
  });
  return {
    channel,
    end() {
      worker.terminate();
      channel.close(gone);
    },
  };
}

/** A loaded model. Calls may overlap: on WebGPU replies run together, up to 16 of them, and each is what it would have been alone; on the CPU they run one after the other. */
export class Model implements ChatModel {
  readonly info: ModelInfo;
  readonly #host: HostChannel;
  readonly #replies: Map<number, ReplySink>;
  readonly #stop: () => void;
  readonly #logger: Logger;
  /** The numbers of its replies on the channel. */
  readonly #numbers = new WeakMap<Reply, number>();
  #nextReply = 0;
  #unloading: Promise<void> | undefined;

  /** Use `loadModel`. */
  constructor(info: ModelInfo, host: HostChannel, replies: Map<number, ReplySink>, stop: () => void, logger: Logger) {
    this.info = info;
    this.#host = host;
    this.#replies = replies;
    this.#stop = stop;
    this.#logger = logger;
  }

  /** Answers a conversation, whose last message is the user's or a tool's. */
  chat(messages: Message[], options: ChatOptions = {}): Reply {
    return this.#start(options, (reply, plain) => this.#host.call('chat', reply, messages, plain));
  }

  /** `chat` in a loop: carries out the tools that are called, until there is an answer. */
  run(messages: Message[], options: RunOptions): Reply<RunResult> {
    return run(this, messages, options);
  }

  /** Goes on from a raw text, without a chat template. */
  complete(prompt: string, options: ChatOptions = {}): Reply {
    return this.#start(options, (reply, plain) => this.#host.call('complete', reply, prompt, plain));
  }

  /** A reply of this model that is under way, as plain data to be stored as JSON: {@link Model.resume} goes on with it. */
  async save(reply: Reply): Promise<SavedReply> {
    const number = this.#numbers.get(reply);
    if (number === undefined) throw new Qwen3Error('invalid-argument', 'save takes a reply of this model\'s chat, complete or resume');
    return this.#host.call('save', number);
  }

  /** Goes on with a saved reply, in this page or after a reload, as it would have gone on; its events tell all of it again. */
  resume(saved: SavedReply, { signal }: { signal?: AbortSignal } = {}): Reply {
    return this.#start(signal === undefined ? {} : { signal }, (reply) => this.#host.call('resume', reply, saved));
  }

  /** Takes a conversation into the KV cache while the user still types. */
  prefill(messages: Message[], options: ChatOptions = {}): Promise<void> {
    return this.#host.call('prefill', messages, withoutSignal(options));
  }

  /** The ids of a text; control tokens written in it are text. */
  tokenize(text: string): Promise<Uint32Array> {
    return this.#host.call('tokenize', text);
  }

  /** The text of ids. */
  async detokenize(ids: ArrayLike<number>): Promise<string> {
    return this.#host.call('detokenize', tokenIds(ids));
  }

  /** The exact prompt of a conversation. */
  applyChatTemplate(messages: Message[], options: ChatOptions = {}): Promise<string> {
    return this.#host.call('applyChatTemplate', messages, withoutSignal(options));
  }

  /** How many tokens that prompt has. */
  countTokens(messages: Message[], options: ChatOptions = {}): Promise<number> {
    return this.#host.call('countTokens', messages, withoutSignal(options));
  }

  /** Logits for the position after the last of `ids`: `[vocabularySize]`. */
  async logits(ids: ArrayLike<number>): Promise<Float32Array> {
    return this.#host.call('logits', tokenIds(ids));
  }

  /** Gives back all memory of the model; replies under way end with what they have. */
  unload(): Promise<void> {
    this.#unloading ??= this.#host.call('unload').catch(() => undefined).then(this.#stop);
    return this.#unloading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unload();
  }

  #start(options: ChatOptions, call: (reply: number, options: PlainChatOptions) => Promise<void>): Reply {
    const number = this.#nextReply++;
    const abort = (): void => this.#host.notify({ type: 'abort', reply: number });
    const controls = { abort, skipThinking: () => this.#host.notify({ type: 'skipThinking', reply: number }) };
    const reply: Reply = new Reply(controls, (sink) => {
      const plain = withoutSignal(options);
      const { signal } = options;
      if (signal?.aborted === true) return sink.event({ type: 'done', result: NOTHING });
      this.#replies.set(number, sink);
      signal?.addEventListener('abort', abort, { once: true });
      call(number, plain).catch((error: unknown) => sink.fail(error)).finally(() => {
        signal?.removeEventListener('abort', abort);
        this.#replies.delete(number);
      });
    });
    logReply(this.#logger, `reply ${number}`, reply);
    this.#numbers.set(reply, number);
    return reply;
  }
}

function withoutSignal({ signal, ...plain }: ChatOptions): PlainChatOptions {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new Qwen3Error('invalid-argument', `the option signal must be an AbortSignal, got ${show(signal)}`);
  }
  // On their way to the engine these would become null, which stands for the default.
  const endless = Object.entries(plain).find(([, value]) => typeof value === 'number' && !Number.isFinite(value));
  if (endless !== undefined) throw new Qwen3Error('invalid-argument', `${endless[0]}: expected a finite number, got ${String(endless[1])}`);
  return plain;
}

function tokenIds(ids: ArrayLike<number>): Uint32Array {
  const numbers = Array.from(ids);
  const wrong = numbers.find((id) => !Number.isInteger(id) || id < 0 || id > 0xffff_ffff);
  if (wrong !== undefined) throw new Qwen3Error('invalid-argument', `a token id must be a non-negative integer, got ${show(wrong)}`);
  return Uint32Array.from(numbers);
}
