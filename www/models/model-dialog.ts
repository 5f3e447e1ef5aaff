// The model panel: the catalogue with sizes, needs and what is stored, the room that is left, own files and addresses.

import { catalogue, deleteModel, fullName, listModels, storageUsage, type CatalogueEntry, type ModelSource, type StoredModel } from 'qwen3-web';
import { button, make } from '../ui/dom.js';
import { bytes } from '../ui/format.js';
import { icon } from '../ui/icons.js';
import { catalogueText, label, say, text } from '../ui/messages.js';
import type { ModelLoader } from './loader.js';

/** Room for the KV cache and the engine beside the weights. */
const BESIDE_WEIGHTS_BYTES = 5e8;

/** The panel; `element` is to be put on the page. */
export class ModelDialog {
  readonly element = make('dialog', 'models');
  readonly #loader: ModelLoader;
  /** What goes wrong while the panel covers the page. */
  readonly #trouble = make('p', 'trouble');
  readonly #list = make('ul', 'catalogue');
  readonly #others = make('ul', 'catalogue');
  readonly #bar = make('meter');
  readonly #storage = make('p', 'quiet');

  constructor(loader: ModelLoader, extra: readonly HTMLElement[] = []) {
    this.#loader = loader;
    this.#trouble.setAttribute('role', 'alert');
    const title = say(make('h2'), 'models');
    title.id = 'models-title';
    this.element.setAttribute('aria-labelledby', title.id);
    label(this.#bar, 'storageUsed');
    this.element.append(
      make('div', 'dialog-head', title, label(button('icon-button', () => this.element.close(), icon('close')), 'close')),
      this.#trouble,
      this.#list,
      this.#others,
      make('div', 'storage', this.#bar, this.#storage),
      say(make('h3'), 'ownModel'),
      say(make('p', 'quiet'), 'ownModelHint'),
      this.#urlForm(),
      this.#filePicker(),
      ...extra,
    );
    this.element.addEventListener('click', (event) => {
      if (event.target === this.element) this.element.close();
    });
    let shown = '';
    loader.watch(({ kind }) => {
      // Progress alone changes nothing here.
      if (kind !== shown && this.element.open) void this.#refresh();
      shown = kind;
    });
  }

  /** Opens the panel. */
  open(): void {
    this.#trouble.textContent = '';
    this.element.showModal();
    void this.#refresh();
  }

  /** Loads what was chosen; its failure shows in the loader's state. */
  choose(source: ModelSource): void {
    this.element.close();
    this.#loader.load(source).catch(() => undefined);
  }

  async #refresh(): Promise<void> {
    try {
      const [stored, usage] = await Promise.all([listModels(), storageUsage()]);
      this.#list.replaceChildren(...catalogue.map((entry) => this.#entryCard(entry, stored.find((model) => model.name === fullName(entry)))));
      const names = new Set(catalogue.map(fullName));
      this.#others.replaceChildren(...stored.filter((model) => !names.has(model.name)).map((model) => this.#storedCard(model)));
      this.#bar.max = usage.quotaBytes;
      this.#bar.value = usage.usedBytes;
      say(this.#storage, 'storageLine', { used: bytes(usage.usedBytes), quota: bytes(usage.quotaBytes) });
    } catch (error) {
      this.#trouble.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  #entryCard(entry: CatalogueEntry, stored: StoredModel | undefined): HTMLLIElement {
    const size = entry.files.reduce((sum, file) => sum + (file.sizeBytes ?? Number.NaN), 0);
    const facts = [entry.quantization];
    if (!Number.isNaN(size)) facts.push(bytes(size), text('needsMemory', { size: bytes(Math.ceil((size + BESIDE_WEIGHTS_BYTES) / 1e8) * 1e8) }));
    if (size > 1e9) facts.push(text('wantsGpu'));
    if (entry.embedded === true) facts.push(text('shipsWithPage'));
    const card = this.#card(fullName(entry), entry.title, facts, stored, entry.embedded === true || stored?.complete === true);
    card.append(make('p', '', catalogueText(entry.description)));
    return card;
  }

  #storedCard(stored: StoredModel): HTMLLIElement {
    const title = decodeURIComponent(stored.name.slice(stored.name.lastIndexOf('/') + 1));
    const card = this.#card(stored.name, title, stored.sizeBytes === undefined ? [] : [bytes(stored.sizeBytes)], stored, stored.complete);
    card.append(make('p', 'address', stored.source));
    return card;
  }

  #card(name: string, title: string, facts: string[], stored: StoredModel | undefined, here: boolean): HTMLLIElement {
    const card = make('li');
    const { state } = this.#loader;
    const current = (state.kind === 'ready' && state.model.info.name === name) || (state.kind === 'loading' && state.source === name);
    if (current) card.setAttribute('aria-current', 'true');
    const line = make('span', 'quiet', facts.join(' · '));
    if (stored !== undefined) {
      const words = stored.complete ? text('stored') : text('partlyStored', { part: bytes(stored.completeBytes) });
      line.append(facts.length > 0 ? ' · ' : '', make('span', 'stored', words));
    }
    const verb = here ? 'load' : stored === undefined ? 'download' : 'resume';
    const load = say(button(verb === 'resume' && !current ? 'primary' : '', () => this.choose(name)), current ? 'loaded' : verb);
    load.disabled = current;
    load.setAttribute('aria-label', `${text(current ? 'loaded' : verb)} ${title}`);
    const actions = make('div', 'actions', load);
    if (stored !== undefined) {
      const remove = label(button('icon-button', () => void this.#delete(name), icon('trash')), 'deleteModel', { title });
      actions.append(remove);
    }
    card.append(make('strong', '', title), actions, line);
    return card;
  }

  async #delete(name: string): Promise<void> {
    try {
      // What is in use cannot be deleted.
      if (this.#loader.model?.info.name === name) await this.#loader.unload();
      await deleteModel(name);
      await this.#refresh();
    } catch (error) {
      this.#trouble.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  #urlForm(): HTMLFormElement {
    const form = make('form', 'own');
    const address = make('input');
    address.type = 'url';
    address.required = true;
    address.placeholder = 'https://…/model.gguf';
    label(address, 'ggufAddress');
    form.append(address, say(make('button'), 'load'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.choose(address.value);
    });
    return form;
  }

  #filePicker(): HTMLLabelElement {
    const input = make('input');
    input.type = 'file';
    input.accept = '.gguf';
    input.addEventListener('change', () => {
      const [file] = input.files ?? [];
      if (file !== undefined) this.choose(file);
      input.value = '';
    });
    return make('label', 'drop', input, say(make('span'), 'chooseOrDrop'));
  }
}

/** Loads a file that is dropped anywhere on the page. */
export function acceptDrops(onFile: (file: File) => void): void {
  const over = (event: DragEvent): void => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    document.body.classList.toggle('dropping', event.type === 'dragover');
  };
  document.addEventListener('dragover', over);
  document.addEventListener('dragleave', over);
  document.addEventListener('drop', (event) => {
    over(event);
    const file = event.dataTransfer?.files[0];
    if (file !== undefined) onFile(file);
  });
}
