// The model panel: the catalogue with sizes and what is stored, own files and addresses, the device, progress and trouble.

import { catalogue, deleteModel, fullName, listModels, loadModel, Qwen3Error, storageUsage, type CatalogueEntry, type Model, type ModelSource, type Progress } from 'qwen3-web';
import { button, element, make } from './dom.js';
import { bytes, rate, seconds } from './format.js';

type DeviceChoice = 'auto' | 'webgpu' | 'cpu';

/** Loads models and shows how that goes. */
export class Models {
  readonly #dialog = element('models', HTMLDialogElement);
  readonly #list = element('catalogue', HTMLUListElement);
  readonly #onModel: (model: Model | undefined) => void;
  #model: Model | undefined;
  #loading: AbortController | undefined;

  /** `onModel` is told when a model is ready, and when the one before is given up. */
  constructor(onModel: (model: Model | undefined) => void) {
    this.#onModel = onModel;
    element('open-models', HTMLButtonElement).addEventListener('click', () => void this.#open());
    element('close-models', HTMLButtonElement).addEventListener('click', () => this.#dialog.close());
    element('cancel-load', HTMLButtonElement).addEventListener('click', () => this.#loading?.abort());
    element('problem-close', HTMLButtonElement).addEventListener('click', () => this.hideProblem());
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    element('own-url', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#choose(element('own-address', HTMLInputElement).value);
    });
    const file = element('own-file', HTMLInputElement);
    file.addEventListener('change', () => {
      const [chosen] = file.files ?? [];
      if (chosen !== undefined) this.#choose(chosen);
      file.value = '';
    });
    this.#acceptDrops();
  }

  /** The device that is chosen in the panel. */
  get device(): DeviceChoice {
    const chosen = document.querySelector<HTMLInputElement>('input[name="device"]:checked')?.value;
    return chosen === 'webgpu' || chosen === 'cpu' ? chosen : 'auto';
  }

  set device(device: DeviceChoice) {
    for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="device"]')) radio.checked = radio.value === device;
  }

  /** Loads a model in place of the one before; rejects as `loadModel` does, having shown the failure. */
  async load(source: ModelSource): Promise<Model> {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    this.hideProblem();
    this.#onModel(undefined);
    const before = this.#model;
    this.#model = undefined;
    this.#showModel('busy', titleOf(source));
    this.#showNote(source);
    element('loading-what', HTMLElement).textContent = `Loading ${titleOf(source)}`;
    element('loading-detail', HTMLElement).textContent = 'Starting the engine';
    element('loading-bar', HTMLProgressElement).removeAttribute('value');
    element('loading', HTMLElement).hidden = false;
    try {
      await before?.unload();
      const model = await loadModel(source, { device: this.device, signal: loading.signal, onProgress: showProgress });
      this.#model = model;
      this.#showModel('ready', titleOf(source), model.info.device === 'webgpu' ? 'WebGPU' : 'CPU');
      this.#onModel(model);
      return model;
    } catch (error) {
      if (this.#loading === loading) {
        this.#showModel('none', 'Choose a model');
        if (!(error instanceof Qwen3Error && error.code === 'aborted')) this.showProblem(error);
      }
      throw error;
    } finally {
      if (this.#loading === loading) {
        this.#loading = undefined;
        element('loading', HTMLElement).hidden = true;
      }
    }
  }

  /** Shows a failure with what can be done about it. */
  showProblem(error: unknown): void {
    element('problem-message', HTMLElement).textContent = error instanceof Error ? error.message : String(error);
    element('problem-hint', HTMLElement).textContent = error instanceof Qwen3Error ? error.hint : '';
    element('problem', HTMLElement).hidden = false;
  }

  hideProblem(): void {
    element('problem', HTMLElement).hidden = true;
  }

  #choose(source: ModelSource): void {
    this.#dialog.close();
    // Its failure has been shown.
    this.load(source).catch(() => undefined);
  }

  async #open(): Promise<void> {
    this.#dialog.showModal();
    await this.#refresh();
  }

  async #refresh(): Promise<void> {
    try {
      const [stored, usage] = await Promise.all([listModels(), storageUsage()]);
      this.#list.replaceChildren(...catalogue.map((entry) => {
        const kept = stored.find((model) => model.name === fullName(entry));
        return this.#card(entry, kept?.complete === true ? 'stored' : kept === undefined ? '' : `${bytes(kept.completeBytes)} stored`);
      }));
      element('storage', HTMLElement).textContent = `${bytes(usage.usedBytes)} of the ${bytes(usage.quotaBytes)} this browser gives the page are used.`;
    } catch (error) {
      this.showProblem(error);
    }
  }

  #card(entry: CatalogueEntry, stored: string): HTMLLIElement {
    const card = make('li');
    const name = fullName(entry);
    if (this.#model?.info.name === name) card.setAttribute('aria-current', 'true');
    const size = entry.files.reduce((sum, file) => sum + (file.sizeBytes ?? Number.NaN), 0);
    const facts = make('span', 'quiet', [entry.quantization, ...(Number.isNaN(size) ? [] : [bytes(size)])].join(' · '));
    if (entry.embedded === true) facts.append(' · ships with the page');
    if (stored !== '') facts.append(' · ', make('span', 'stored', stored));
    const actions = make('div', 'actions');
    const load = button('Load', () => this.#choose(name));
    load.setAttribute('aria-label', `Load ${entry.title}`);
    actions.append(load);
    if (stored !== '') {
      const remove = button('Delete', () => void deleteModel(name).then(() => this.#refresh(), (error: unknown) => this.showProblem(error)), 'plain');
      remove.setAttribute('aria-label', `Delete ${entry.title} from this browser`);
      actions.append(remove);
    }
    card.append(make('strong', '', entry.title), actions, facts, make('p', '', entry.description));
    return card;
  }

  #showModel(state: 'none' | 'busy' | 'ready', name: string, device = ''): void {
    element('model-dot', HTMLElement).dataset['state'] = state;
    element('model-name', HTMLElement).textContent = name;
    element('model-device', HTMLElement).textContent = device;
  }

  #showNote(source: ModelSource): void {
    const note = typeof source === 'string' ? entryOf(source)?.note : undefined;
    const place = element('model-note', HTMLElement);
    place.hidden = note === undefined;
    place.textContent = note ?? '';
  }

  #acceptDrops(): void {
    const over = (event: DragEvent): void => {
      event.preventDefault();
      document.body.classList.toggle('dropping', event.type === 'dragover');
    };
    document.addEventListener('dragover', over);
    document.addEventListener('dragleave', over);
    document.addEventListener('drop', (event) => {
      over(event);
      const file = event.dataTransfer?.files[0];
      if (file !== undefined) this.#choose(file);
    });
  }
}

function entryOf(source: string): CatalogueEntry | undefined {
  return catalogue.find((entry) => entry.name === source || fullName(entry) === source);
}

function titleOf(source: ModelSource): string {
  if (source instanceof File) return source.name;
  if (typeof source !== 'string') return 'a model';
  return entryOf(source)?.title ?? source.slice(source.lastIndexOf('/', source.length - 2) + 1);
}

const PHASES: Readonly<Record<Progress['phase'], string>> = {
  download: 'Downloading', verify: 'Checking', upload: 'Reading', compile: 'Preparing the device', warmup: 'Warming up',
};

function showProgress(progress: Progress): void {
  const { phase, loadedBytes, totalBytes, bytesPerSecond, etaSeconds } = progress;
  const bar = element('loading-bar', HTMLProgressElement);
  const counted = phase === 'download' || phase === 'upload' || phase === 'verify';
  if (counted && totalBytes !== undefined) bar.value = loadedBytes / totalBytes;
  else bar.removeAttribute('value');
  const parts = [counted ? `${PHASES[phase]} ${bytes(loadedBytes)}${totalBytes === undefined ? '' : ` of ${bytes(totalBytes)}`}` : PHASES[phase]];
  if (counted && bytesPerSecond > 0) parts.push(`${rate(bytesPerSecond / 1e6)} MB/s`);
  if (phase === 'download' && etaSeconds !== undefined) parts.push(`${seconds(etaSeconds)} left`);
  element('loading-detail', HTMLElement).textContent = parts.join(' · ');
}
