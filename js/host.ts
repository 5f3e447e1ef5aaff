// The engine's side of the channel: loads a model, runs its replies one after the other, in a worker or in the page's own thread.

import { allowSubgroups, findAdapter } from './device.js';
import { FileChanged, type Fetched, type Fetcher } from './download.js';
import { importEngine, type Engine, type Loader, type LoaderOptions } from './engine.js';
import { aborted, asQwen3Error, Qwen3Error } from './errors.js';
import { Meter } from './progress.js';
import { Channel, type Handlers, type HostCalls, type HostNotice, type PageCalls, type PageNotice, type PlainLoadOptions, type PlainSource, type Port } from './protocol.js';
import { indexedDbStore } from './store/indexeddb.js';
import type { Store } from './store/store.js';
import type { ChatResult, Device, ModelInfo } from './types.js';
import { openWeights, type Context } from './weights.js';

/** Serves one model on a port. */
export function serve(port: Port): void {
  new Host(port);
}

/** Failures of a GPU that the CPU engine does not share. */
const GPU_FAILURES = new Set(['webgpu-unavailable', 'self-test-failed', 'device-lost', 'out-of-memory']);
/** After these, what is stored of a model is of no use. */
const BAD_FILE = new Set(['malformed-file', 'unsupported-model', 'integrity-mismatch']);

/** What a reply was told before the engine could take notice. */
interface ReplyState {
  abort: boolean;
  skip: boolean;
}

class Host {
  readonly #page: Channel<PageCalls, HostCalls, PageNotice, HostNotice>;
  readonly #loading = new AbortController();
  /** Calls into the engine, one at a time: wasm-bindgen forbids a call while a promise of the same object is pending. */
  readonly #calls = new Queue();
  /** Replies and other work on the device, one at a time. */
  readonly #replies = new Queue();
  readonly #states = new Map<number, ReplyState>();
  #engine: Engine | undefined;
  /** Set when the engine's code has crashed: its memory is in no defined state. */
  #crash: Qwen3Error | undefined;

  constructor(port: Port) {
    const handlers: Handlers<HostCalls> = {
      load: (source, options) => this.#load(source, options),
      chat: (reply, messages, options) => this.#reply(reply, (engine) => engine.chat(messages, options)),
      complete: (reply, prompt, options) => this.#reply(reply, (engine) => engine.complete(prompt, options)),
      prefill: (messages, options) => this.#replies.run(() => this.#use((engine) => engine.prefill(messages, options))),
      tokenize: (text) => this.#use((engine) => engine.tokenize(text)),
      detokenize: (ids) => this.#use((engine) => engine.detokenize(ids)),
      applyChatTemplate: (messages, options) => this.#use((engine) => engine.applyChatTemplate(messages, options)),
      countTokens: (messages, options) => this.#use((engine) => engine.countTokens(messages, options)),
      logits: (ids) => this.#replies.run(() => this.#use((engine) => engine.logits(ids))),
      unload: () => this.#unload(),
    };
    this.#page = new Channel(port, handlers, (notice) => {
      if (notice.type === 'cancelLoad') return this.#loading.abort();
      const state = this.#states.get(notice.reply);
      if (state !== undefined) state[notice.type === 'abort' ? 'abort' : 'skip'] = true;
    });
  }

  async #load(source: PlainSource, options: PlainLoadOptions): Promise<ModelInfo> {
    const store = await this.#openStore(options.cache);
    for (let again = true; ; again = false) {
      try {
        return await this.#loadOnce(source, options, store);
      } catch (thrown) {
        const changed = thrown instanceof FileChanged;
        const error = changed ? new Qwen3Error('download-failed', thrown.message, { hint: 'load again: what was stored of the old version is removed' }) : asQwen3Error(thrown);
        const remote = source.kind === 'files' || source.kind === 'folder';
        if (remote && (changed || BAD_FILE.has(error.code))) await store?.delete(source.name);
        // A file that changed while it was loaded, or was damaged on its way, is fetched a second time.
        if (!remote || !again || !(changed || error.code === 'integrity-mismatch')) throw error;
      }
    }
  }

  async #loadOnce(source: PlainSource, options: PlainLoadOptions, store: Store | undefined): Promise<ModelInfo> {
    const { signal } = this.#loading;
    const meter = new Meter((progress) => this.#page.notify({ type: 'progress', progress }));
    const context: Context = {
      fetcher: options.pageFetch ? this.#pageFetch : ownFetch,
      headers: options.headers,
      store, meter, signal,
      readBody: (body) => this.#page.call('read', body),
    };
    const weights = await openWeights(source, context);
    const { format, configJson, tokenizerJson } = weights;
    const { loader, device, adapter } = await openLoader(options.device, {
      format,
      insist: options.device === 'webgpu',
      ...(options.kernels === undefined ? {} : { kernels: options.kernels }),
      ...(options.contextLength === undefined ? {} : { contextLength: options.contextLength }),
      ...(configJson === undefined ? {} : { configJson }),
      ...(tokenizerJson === undefined ? {} : { tokenizerJson }),
    });
    let engine: Engine;
    try {
      for (const [index, file] of weights.files.entries()) {
        if (index > 0) loader.nextFile();
        for await (const bytes of file.chunks()) {
          if (signal.aborted) throw aborted(signal);
          loader.push(bytes);
        }
      }
      await weights.finish();
      meter.stage('compile', source.name);
      engine = await loader.finish();
    } catch (error) {
      discard(loader);
      throw error;
    }
    this.#engine = engine;
    if (signal.aborted) {
      await this.#unload();
      throw aborted(signal);
    }
    const info = engine.info();
    return { ...info, name: source.kind === 'files' || source.kind === 'folder' ? source.name : info.name ?? source.name, device, ...(adapter === undefined ? {} : { adapter }) };
  }

  async #openStore(cache: PlainLoadOptions['cache']): Promise<Store | undefined> {
    if (cache === 'none') return undefined;
    if (cache === 'indexeddb') return indexedDbStore();
    // Memory of this thread ends with the model; the page's is there for the next load.
    const page = this.#page;
    return {
      list: () => page.call('list'),
      manifest: (name) => page.call('manifest', name),
      read: (name, file, chunk) => page.call('readChunk', name, file, chunk),
      write: (manifest, chunk) => page.call('write', manifest, chunk),
      delete: (name) => page.call('delete', name),
    };
  }

  readonly #pageFetch: Fetcher = async (url, headers) => {
    const response = await this.#page.call('fetch', url, headers);
    const fields = new Headers(response.headers);
    return {
      status: response.status,
      header: (name) => fields.get(name),
      read: () => this.#page.call('read', response.body),
      cancel: () => this.#page.notify({ type: 'cancelBody', body: response.body }),
    };
  };

  /** One call into the engine, when no other is under way. */
  #use<T>(call: (engine: Engine) => T | Promise<T>): Promise<T> {
    return this.#calls.run(async () => {
      if (this.#crash !== undefined) throw this.#crash;
      if (this.#engine === undefined) throw new Qwen3Error('invalid-argument', 'the model has been unloaded', { hint: 'load it again' });
      try {
        return await call(this.#engine);
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError) this.#crash = asQwen3Error(error);
        throw error;
      }
    });
  }

  async #reply(reply: number, start: (engine: Engine) => number): Promise<void> {
    const state: ReplyState = { abort: false, skip: false };
    this.#states.set(reply, state);
    try {
      await this.#replies.run(() => this.#runReply(reply, state, start));
    } finally {
      this.#states.delete(reply);
    }
  }

  async #runReply(reply: number, state: ReplyState, start: (engine: Engine) => number): Promise<void> {
    if (state.abort) return this.#page.notify({ type: 'event', reply, event: { type: 'done', result: NOTHING } });
    const id = await this.#use(start);
    for (let told = false; ; ) {
      const events = await this.#use((engine) => {
        if (state.abort && !told) engine.abort(id);
        else if (state.skip) engine.skipThinking(id);
        told = state.abort;
        state.skip = false;
        return engine.step(id);
      });
      for (const event of events) this.#page.notify({ type: 'event', reply, event });
      if (events.some((event) => event.type === 'done')) return;
      await nextTask();
    }
  }

  #unload(): Promise<void> {
    this.#loading.abort();
    for (const state of this.#states.values()) state.abort = true;
    return this.#replies.run(() => this.#calls.run(() => {
      this.#engine?.free();
      this.#engine = undefined;
    }));
  }
}

/** The result of a reply that was aborted before its turn. */
const NOTHING: ChatResult = {
  thinking: '', content: '', toolCalls: [], finishReason: 'abort',
  usage: { promptTokens: 0, cachedTokens: 0, thinkingTokens: 0, contentTokens: 0, completionTokens: 0 },
  timings: { timeToFirstTokenMs: 0, prefillTokensPerSecond: 0, decodeTokensPerSecond: 0, totalMs: 0 },
  seed: 0,
};

/** Runs one piece of work after the other. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Lets the thread take what has come in meanwhile: promises alone never do. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** The engine's loader on the device that was asked for, or on the best one there is. */
async function openLoader(wanted: 'auto' | Device, options: LoaderOptions): Promise<{ loader: Loader; device: Device; adapter?: string }> {
  if (wanted !== 'cpu') {
    const adapter = await findAdapter();
    if (adapter === undefined && wanted === 'webgpu') {
      throw new Qwen3Error('webgpu-unavailable', 'the browser gives no WebGPU adapter', {
        hint: "use device: 'auto' or 'cpu', or a browser with WebGPU switched on",
      });
    }
    if (adapter !== undefined && (wanted === 'webgpu' || !adapter.software)) {
      try {
        allowSubgroups();
        const { Loader } = await importEngine('webgpu');
        return { loader: await Loader.open(options), device: 'webgpu', adapter: adapter.description };
      } catch (thrown) {
        const error = asQwen3Error(thrown);
        if (wanted === 'webgpu' || !GPU_FAILURES.has(error.code)) throw error;
      }
    }
  }
  const { Loader } = await importEngine('cpu');
  return { loader: await Loader.open(options), device: 'cpu' };
}

/** Frees a loader that failed; one that was consumed by `finish`, or crashed, is gone already. */
function discard(loader: Loader): void {
  try {
    loader.free();
  } catch {
    // Nothing is left to free.
  }
}

const ownFetch: Fetcher = async (url, headers, signal) => fetched(await fetch(url, { headers, signal }));

/** A response as the download reads it. */
function fetched(response: Response): Fetched {
  const reader = response.body?.getReader();
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    read: async () => (await reader?.read())?.value,
    cancel: () => void reader?.cancel().catch(() => undefined),
  };
}
