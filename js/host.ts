// The engine's side of the channel: loads a model and runs its replies, in a worker or in the page's own thread.

import { allowSubgroups, findAdapter } from './device.js';
import { blobFetcher } from './download/blobs.js';
import { FileChanged, ownFetch, type Fetcher } from './download/response.js';
import { importCpuEngine, importGpuEngine, importGrammars, importJinja, importThreadedEngine, type Engine, type Grammars, type Loader, type LoaderOptions } from './engine.js';
import { aborted, asQwen3Error, Qwen3Error, toPlain } from './errors.js';
import { KernelChoice } from './kernel-choice.js';
import { Meter } from './progress.js';
import { Channel, NOTHING, type Handlers, type HostCalls, type HostNotice, type PageCalls, type PageNotice, type PlainChatOptions, type PlainLoadOptions, type PlainSource, type Port } from './protocol.js';
import { Queue } from './queue.js';
import { indexedDbStore } from './store/indexeddb.js';
import { readHashed } from './store/reader.js';
import type { Store } from './store/store.js';
import { canShare, Threads, threadsFor, work } from './threads.js';
import type { Device, ModelInfo, Verification } from './types.js';
import { openStored, openWeights, type Context, type Weights } from './weights.js';

/** Serves one model on a port. `startThread` starts another thread that does, which reads what is stored or computes beside it. */
export function serve(port: Port, startThread?: () => Worker): void {
  new Host(port, typeof Worker === 'undefined' ? undefined : startThread);
}

/** Failures of a GPU that the CPU engine does not share. */
const GPU_FAILURES = new Set(['webgpu-unavailable', 'self-test-failed', 'device-lost', 'out-of-memory']);
/** After these, what is stored of a model is of no use. */
const NO_MODEL = new Set(['malformed-file', 'unsupported-model']);

/** Replies that run at the same time: a GPU reads its weights once for all of them, a CPU would only take turns. */
const TOGETHER: Record<Device, number> = { webgpu: 16, cpu: 1 };

/** What a reply was told before the engine could take notice. */
interface ReplyState {
  /** The engine's number for it, once it has begun. */
  id?: number;
  abort: boolean;
  skip: boolean;
}

class Host {
  readonly #page: Channel<PageCalls, HostCalls, PageNotice, HostNotice>;
  readonly #startThread: (() => Worker) | undefined;
  readonly #loading = new AbortController();
  /** Calls into the engine, one at a time: wasm-bindgen forbids a call while a promise of the same object is pending. */
  readonly #calls = new Queue();
  /** Replies and other work on the device, as many at a time as it serves together. */
  readonly #replies = new Queue();
  readonly #states = new Map<number, ReplyState>();
  #engine: Engine | undefined;
  /** There once a reply has needed them. */
  #grammars: Grammars | undefined;
  /** What the engine was loaded from; nobody deletes it meanwhile. */
  #weights: Weights | undefined;
  /** Set when the engine's code has crashed: its memory is in no defined state. */
  #crash: Qwen3Error | undefined;

  constructor(port: Port, startThread: (() => Worker) | undefined) {
    this.#startThread = startThread;
    const handlers: Handlers<HostCalls> = {
      load: (source, options) => this.#load(source, options),
      download: (source, options, files) => this.#download(source, options, files),
      verify: (name, repair, options) => this.#verify(name, repair, options),
      chat: (reply, messages, options) => this.#reply(reply, options, (engine) => engine.chat(messages, options)),
      complete: (reply, prompt, options) => this.#reply(reply, options, (engine) => engine.complete(prompt, options)),
      resume: (reply, saved) => this.#reply(reply, saved?.options ?? {}, (engine) => engine.resume(saved)),
      save: (reply) => this.#use((engine) => {
        const id = this.#states.get(reply)?.id;
        if (id === undefined) throw new Qwen3Error('invalid-argument', 'only a reply under way can be saved, and this one is not');
        return engine.save(id);
      }),
      prefill: (messages, options) => this.#replies.run(() => this.#use((engine) => engine.prefill(messages, options))),
      tokenize: (text) => this.#use((engine) => engine.tokenize(text)),
      detokenize: (ids) => this.#use((engine) => engine.detokenize(ids)),
      applyChatTemplate: (messages, options) => this.#use((engine) => engine.applyChatTemplate(messages, options)),
      countTokens: (messages, options) => this.#use((engine) => engine.countTokens(messages, options)),
      logits: (ids) => this.#replies.run(() => this.#use((engine) => engine.logits(ids))),
      unload: () => this.#unload(),
      openReader: async () => void await indexedDbStore(),
      readHashed: async (name, file, chunk) => readHashed(await indexedDbStore(), name, file, chunk),
    };
    this.#page = new Channel(port, handlers, (notice) => {
      if (notice.type === 'cancelLoad') return this.#loading.abort();
      if (notice.type === 'work') return work(notice.port);
      const state = this.#states.get(notice.reply);
      if (state !== undefined) state[notice.type === 'abort' ? 'abort' : 'skip'] = true;
    });
  }

  async #load(source: PlainSource, options: PlainLoadOptions): Promise<ModelInfo> {
    const context = await this.#context(options);
    return this.#takeIn(source, context, async (weights) => {
      const info = await this.#loadEngine(source, options, weights, context);
      this.#weights = weights;
      return info;
    });
  }

  async #download(source: PlainSource, options: PlainLoadOptions, files?: File[]): Promise<void> {
    const context = await this.#context(options);
    if (files !== undefined) context.fetcher = blobFetcher(files);
    await this.#takeIn(source, context, async (weights) => {
      for (const file of weights.files) {
        for await (const _ of file.chunks()) { /* it is stored by now */ }
      }
      await weights.finish();
      await weights.release();
    });
  }

  async #verify(name: string, repair: boolean, options: PlainLoadOptions): Promise<Verification | undefined> {
    const stored = await openStored(name, await this.#context(options));
    try {
      return await stored?.verify(repair);
    } finally {
      await stored?.release();
    }
  }

  /** Opens the source for the work. A file that changed while it was fetched, or was damaged on its way, is fetched a second time. */
  async #takeIn<T>(source: PlainSource, context: Context, work: (weights: Weights) => Promise<T>): Promise<T> {
    const remote = source.kind === 'files' || source.kind === 'folder';
    for (let again = remote; ; again = false) {
      let weights: Weights | undefined;
      try {
        weights = await openWeights(source, context);
        return await work(weights);
      } catch (thrown) {
        const changed = thrown instanceof FileChanged;
        const error = changed ? new Qwen3Error('download-failed', thrown.message, { hint: 'load again: what was stored of the old version is removed' }) : asQwen3Error(thrown);
        if (NO_MODEL.has(error.code)) await weights?.discard();
        await weights?.release();
        if (!again || !(changed || error.code === 'integrity-mismatch')) throw error;
      }
    }
  }

  async #context(options: PlainLoadOptions): Promise<Context> {
    return {
      fetcher: options.pageFetch ? this.#pageFetch : ownFetch,
      headers: options.headers,
      connections: options.connections,
      stallTimeoutMs: options.stallTimeoutMs,
      store: await this.#openStore(options.cache),
      shared: options.cache === 'indexeddb',
      startReader: options.cache === 'indexeddb' ? this.#startThread : undefined,
      meter: new Meter((progress) => this.#page.notify({ type: 'progress', progress })),
      signal: this.#loading.signal,
      readBody: (body) => this.#page.call('read', body),
    };
  }

  async #loadEngine(source: PlainSource, options: PlainLoadOptions, weights: Weights, { meter, signal }: Context): Promise<ModelInfo> {
    const { format, configJson, tokenizerJson, tokenizerConfigJson, chatTemplate } = weights;
    const log = (message: string, data: object): void => this.#page.notify({ type: 'log', level: 'warn', message, data });
    const bytes = weights.files.reduce((sum, file) => sum + (file.sizeBytes() ?? 0), 0);
    const openOnCpu = (plain: LoaderOptions): Promise<Loader> => this.#openOnCpu(options.threads ?? threadsFor(bytes), bytes, log, plain);
    const { loader, device, adapter } = await openLoader(options.device, log, openOnCpu, {
      format, configJson, tokenizerJson, tokenizerConfigJson, chatTemplate,
      insist: options.device === 'webgpu',
      ...(options.kernels === undefined ? {} : { kernels: options.kernels }),
      ...(options.contextLength === undefined ? {} : { contextLength: options.contextLength }),
      ...(options.yarnFactor === undefined ? {} : { yarnFactor: options.yarnFactor }),
      ...(options.kvCache === undefined ? {} : { kvCache: options.kvCache }),
      ...(options.gpuTimestamps === undefined ? {} : { gpuTimestamps: options.gpuTimestamps }),
    });
    let engine: Engine;
    try {
      for (const [index, file] of weights.files.entries()) {
        if (index > 0) loader.nextFile();
        for await (const bytes of file.chunks()) {
          if (signal.aborted) throw aborted(signal);
          const size = file.sizeBytes();
          if (size !== undefined) loader.expect(size);
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
    try {
      const carried = engine.needsTemplate();
      if (carried !== undefined) {
        const { ChatTemplate } = await fetched('jinja', importJinja());
        engine.setTemplate(new ChatTemplate(carried));
      }
      if (signal.aborted) throw aborted(signal);
    } catch (error) {
      engine.free();
      throw error;
    }
    this.#engine = engine;
    this.#replies.width = TOGETHER[device];
    const info = engine.info();
    return { ...info, name: source.kind === 'files' || source.kind === 'folder' ? source.name : info.name ?? source.name, device, ...(adapter === undefined ? {} : { adapter }) };
  }

  /** The loader of an engine on so many threads, or on this one alone where there can be no others; for weights of so many bytes. */
  async #openOnCpu(threads: number, bytes: number, log: (message: string, data: object) => void, options: LoaderOptions): Promise<Loader> {
    const startThread = this.#startThread;
    const plain = async (): Promise<Loader> => (await importCpuEngine()).Loader.open(options);
    if (startThread === undefined || threads < 2 || !canShare()) return plain();
    let engine: Awaited<ReturnType<typeof importThreadedEngine>>;
    try {
      engine = await fetched('engine-cpu-threads', importThreadedEngine(bytes));
    } catch (error) {
      log('the engine goes on with one thread', toPlain(error));
      return plain();
    }
    const start = (port: MessagePort): Worker => {
      const thread = startThread();
      const channel: Channel<Record<never, never>, Record<never, never>, never, PageNotice> = new Channel(thread, {}, () => undefined);
      channel.notify({ type: 'work', port }, [port]);
      return thread;
    };
    return engine.Loader.open(options, new Threads(threads, engine, start, log));
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

  async #reply(reply: number, options: PlainChatOptions, start: (engine: Engine) => number): Promise<void> {
    const state: ReplyState = { abort: false, skip: false };
    this.#states.set(reply, state);
    try {
      await this.#replies.run(async () => {
        await this.#fetchGrammars(options);
        await this.#runReply(reply, state, start);
      });
      void this.#replies.run(() => this.#idle()).catch(() => undefined);
    } finally {
      this.#states.delete(reply);
    }
  }

  /** Gives the engine its grammars if a reply with these options needs them and it has none. */
  async #fetchGrammars(options: PlainChatOptions): Promise<void> {
    if (this.#grammars !== undefined || !(await this.#use((engine) => engine.needsGrammars(options)))) return;
    const { Grammars } = await fetched('grammar', importGrammars());
    await this.#use((engine) => {
      if (this.#grammars !== undefined) return;
      this.#grammars = new Grammars(engine.vocabulary(), engine.endTokens());
      engine.setGrammars(this.#grammars);
    });
  }

  async #runReply(reply: number, state: ReplyState, start: (engine: Engine) => number): Promise<void> {
    if (state.abort) return this.#page.notify({ type: 'event', reply, event: { type: 'done', result: NOTHING } });
    const id = await this.#use(start);
    state.id = id;
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

  /** What later calls will be glad of, for as long as nothing else waits. A failure will show when it matters. */
  async #idle(): Promise<void> {
    while (this.#engine !== undefined && !this.#replies.isShared && await this.#use((engine) => engine.idle())) await nextTask();
  }

  #unload(): Promise<void> {
    this.#loading.abort();
    for (const state of this.#states.values()) state.abort = true;
    return this.#replies.runAlone(() => this.#calls.run(async () => {
      this.#engine?.free();
      this.#grammars?.free();
      this.#engine = undefined;
      this.#grammars = undefined;
      await this.#weights?.release();
    }));
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
async function openLoader(
  wanted: 'auto' | Device, log: (message: string, data: object) => void, openOnCpu: (options: LoaderOptions) => Promise<Loader>, options: LoaderOptions,
): Promise<{ loader: Loader; device: Device; adapter?: string }> {
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
        const { Loader } = await importGpuEngine();
        const choice = new KernelChoice(adapter.description, options.kernels);
        const variant = await choice.read();
        const loader = await Loader.open(variant === undefined ? options : { ...options, variant });
        if (loader.variant !== variant) await choice.write(loader.variant);
        return { loader, device: 'webgpu', adapter: adapter.description };
      } catch (thrown) {
        const error = asQwen3Error(thrown);
        if (wanted === 'webgpu' || !GPU_FAILURES.has(error.code)) throw error;
        log('the GPU is passed over for the CPU', toPlain(error));
      }
    }
  }
  return { loader: await openOnCpu(options), device: 'cpu' };
}

/** A part of the package that comes when it is needed. */
function fetched<M>(part: string, module: Promise<M>): Promise<M> {
  return module.catch((cause: unknown) => {
    throw new Qwen3Error('download-failed', `the package's ${part}.wasm could not be fetched: ${String(cause)}`, {
      hint: `${part}.js and ${part}.wasm must be served beside worker.js`, cause,
    });
  });
}

/** Frees a loader that failed; one that was consumed by `finish`, or crashed, is gone already. */
function discard(loader: Loader): void {
  try {
    loader.free();
  } catch {
    // Nothing is left to free.
  }
}
