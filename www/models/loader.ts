// Which model is loaded, is being loaded, or was paused on its way: one at a time, for whoever shows it.

import { catalogue, fullName, loadModel, Qwen3Error, type CatalogueEntry, type LoadOptions, type Model, type ModelSource, type Progress } from 'qwen3-web';

interface Asked {
  source: ModelSource;
  title: string;
}

/** How the load stands. */
export type LoadState =
  | { kind: 'none' }
  | (Asked & { kind: 'loading'; progress?: Progress })
  /** What came so far is kept, and the rest can follow. */
  | (Asked & { kind: 'paused'; progress: Progress })
  | (Asked & { kind: 'failed'; error: unknown })
  | (Asked & { kind: 'ready'; model: Model; loadMs: number });

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

  /** The model, if one is ready. */
  get model(): Model | undefined {
    return this.#state.kind === 'ready' ? this.#state.model : undefined;
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
    // Its failure shows in the state.
    this.load(this.#state.source).catch(() => undefined);
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
    if (this.#state.kind === 'ready') this.#freed = this.#state.model.unload();
  }

  #change(state: LoadState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

/** The entry of a catalogue name, nothing for other sources. */
export function entryOf(source: ModelSource): CatalogueEntry | undefined {
  return typeof source === 'string' ? catalogue.find((entry) => entry.name === source || fullName(entry) === source) : undefined;
}

/** How to call a model before it has told its name. */
export function titleOf(source: ModelSource): string {
  if (source instanceof File) return source.name;
  if (typeof source !== 'string') return 'GGUF';
  return entryOf(source)?.title ?? source.slice(source.lastIndexOf('/', source.length - 2) + 1);
}
