// Which model is loaded, is being loaded, was paused on its way, or answers from a server: one at a time, for whoever shows it.

import {
  catalogue, connect, fullName, listModels, loadModel, Qwen3Error,
  type CatalogueEntry, type LoadOptions, type Model, type ModelSource, type Progress, type RemoteModel,
} from 'qwen3-web';
import type { SettingsStore } from '../settings/settings.js';
import { findModel, type Server } from './server.js';

interface Asked {
  source: ModelSource | Server;
  title: string;
}

/** How the load stands. */
export type LoadState =
  | { kind: 'none' }
  | (Asked & { kind: 'loading'; progress?: Progress })
  /** What came so far is kept, and the rest can follow. */
  | (Asked & { kind: 'paused'; progress: Progress })
  | (Asked & { kind: 'failed'; error: unknown })
  | (Asked & { kind: 'ready'; model: Model; loadMs: number })
  | (Asked & { kind: 'connected'; model: RemoteModel });

/** Loads models, the next in place of the one before. */
export class ModelLoader {
  readonly #options: () => LoadOptions;
  readonly #listeners: ((state: LoadState) => void)[] = [];
  #state: LoadState = { kind: 'none' };
  #abort: AbortController | undefined;
  /** What was there before has been given back. */
  #freed: Promise<unknown> = Promise.resolve();

  /** `options` is asked before each load. */
  constructor(options: () => LoadOptions = () => ({})) {
    this.#options = options;
  }

  get state(): LoadState {
    return this.#state;
  }

  /** The model, if one is ready in this browser. */
  get model(): Model | undefined {
    return this.#state.kind === 'ready' ? this.#state.model : undefined;
  }

  /** What answers: the model that is ready here, or the one behind a server. */
  get chatModel(): Model | RemoteModel | undefined {
    return this.#state.kind === 'ready' || this.#state.kind === 'connected' ? this.#state.model : undefined;
  }

  /** Calls `listener` now and whenever the state changes, with every report of progress. */
  watch(listener: (state: LoadState) => void): void {
    this.#listeners.push(listener);
    listener(this.#state);
  }

  /** Loads a model; rejects as `loadModel` does, after the state has told. */
  async load(source: ModelSource): Promise<Model> {
    this.#release();
    const asked = { source, title: titleOf(source) };
    const abort = new AbortController();
    this.#abort = abort;
    this.#change({ kind: 'loading', ...asked });
    const start = performance.now();
    try {
      await this.#freed;
      const loading = loadModel(source, {
        ...this.#options(),
        signal: abort.signal,
        onProgress: (progress) => {
          if (this.#abort === abort && !abort.signal.aborted) this.#change({ kind: 'loading', ...asked, progress });
        },
      });
      this.#freed = loading.catch(() => undefined);
      const model = await loading;
      if (this.#abort !== abort) {
        this.#freed = model.unload();
        throw new Qwen3Error('aborted', 'another model was chosen meanwhile');
      }
      this.#change({ kind: 'ready', ...asked, model, loadMs: performance.now() - start });
      return model;
    } catch (error) {
      if (this.#abort === abort && this.#state.kind === 'loading') this.#change({ kind: 'failed', ...asked, error });
      throw error;
    }
  }

  /** Has a server answer, in place of a model in this browser; rejects after the state has told. */
  async connect(server: Server): Promise<void> {
    this.#release();
    const asked = { source: server, title: server.model ?? hostOf(server) };
    const abort = new AbortController();
    this.#abort = abort;
    this.#change({ kind: 'loading', ...asked });
    try {
      await this.#freed;
      const name = await findModel(server, abort.signal);
      if (this.#abort === abort) this.#change({ kind: 'connected', source: server, title: name, model: connect({ ...server, model: name }) });
    } catch (error) {
      if (this.#abort === abort && this.#state.kind === 'loading') this.#change({ kind: 'failed', ...asked, error });
      throw error;
    }
  }

  /** Ends a load; of a download what came so far is kept, and {@link resume} goes on from there. */
  pause(): void {
    const state = this.#state;
    if (state.kind !== 'loading') return;
    const { source, title, progress } = state;
    this.#change(progress?.phase === 'download' ? { kind: 'paused', source, title, progress } : { kind: 'none' });
    this.#abort?.abort();
  }

  /** Loads again what was paused or failed, or what is loaded, with the options of now. */
  resume(): void {
    if (this.#state.kind === 'none' || this.#state.kind === 'loading') return;
    const { source } = this.#state;
    // Its failure shows in the state.
    (isServer(source) ? this.connect(source) : this.load(source)).catch(() => undefined);
  }

  /** Gives back what is loaded; resolves when it has been. */
  async unload(): Promise<void> {
    this.#release();
    this.#change({ kind: 'none' });
    await this.#freed;
  }

  #release(): void {
    this.#abort?.abort();
    this.#abort = undefined;
    if (this.#state.kind === 'ready' || this.#state.kind === 'connected') this.#freed = this.#state.model.unload();
  }

  #change(state: LoadState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

function isServer(source: ModelSource | Server): source is Server {
  return typeof source === 'object' && 'baseURL' in source;
}

/**
 * The model to begin with: the one `asked` for, else the last one if this browser still keeps it, else the one that ships with the
 * page. Every load from now on is remembered, except of the one asked for and of files, which have to be chosen anew each time.
 */
export async function firstModel(loader: ModelLoader, settings: SettingsStore, asked: string | null = null): Promise<string> {
  loader.watch((state) => {
    if (state.kind === 'ready' && typeof state.source === 'string' && state.source !== asked) settings.set({ model: state.model.info.name });
  });
  const last = settings.values.model;
  if (asked !== null) return asked;
  if (last !== '' && (await listModels().catch(() => [])).some(({ name, complete }) => complete && name === last)) return last;
  const [shipped] = catalogue;
  return shipped === undefined ? '' : fullName(shipped);
}

/** The host of a server, nothing for what is loaded here. */
export function hostOf(source: ModelSource | Server): string {
  return isServer(source) ? new URL(source.baseURL).host : '';
}

/** The entry of a catalogue name, nothing for other sources. */
export function entryOf(source: ModelSource | Server): CatalogueEntry | undefined {
  return typeof source === 'string' ? catalogue.find((entry) => entry.name === source || fullName(entry) === source) : undefined;
}

/** How to call a model before it has told its name. */
export function titleOf(source: ModelSource): string {
  if (source instanceof File) return source.name;
  if (typeof source !== 'string') return 'GGUF';
  return entryOf(source)?.title ?? source.slice(source.lastIndexOf('/', source.length - 2) + 1);
}
