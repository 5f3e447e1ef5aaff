// The page around its views: the rail with conversations, the bar with the model, the panel at the side, and what went wrong.

import { Qwen3Error } from 'qwen3-web';
import { LoadStrip } from './models/load-strip.js';
import { hostOf, type ModelLoader } from './models/loader.js';
import { button, make } from './ui/dom.js';
import { icon, type IconName } from './ui/icons.js';
import { label, say, text, type MessageKey } from './ui/messages.js';

interface Place {
  name: string;
  element: HTMLElement;
  opener: HTMLElement;
}

/** The frame of the page. The address names the view after its `#`. */
export class Frame {
  readonly #rail = make('aside', 'rail');
  readonly #nav = make('nav', 'views-nav');
  readonly #bar = make('header', 'bar');
  readonly #main = make('main', 'views');
  readonly #side = make('aside', 'side');
  readonly #problem = make('section', 'problem');
  readonly #views: Place[] = [];
  readonly #panels: Place[] = [];

  constructor(loader: ModelLoader, openModels: () => void) {
    const menu = label(button('icon-button menu', () => this.#toggleRail(), icon('menu')), 'menu');
    const closeRail = label(button('icon-button close-rail', () => this.#toggleRail(), icon('close')), 'close');
    this.#rail.append(make('div', 'brand', make('h1', '', 'qwen3-web'), closeRail));
    label(this.#rail, 'menu');
    label(this.#nav, 'views');
    this.#bar.append(menu, modelChip(loader, openModels), make('span', 'spacer'));
    this.#problem.setAttribute('role', 'alert');
    this.#problem.hidden = true;
    this.#side.hidden = true;
    const shade = make('div', 'shade');
    shade.addEventListener('click', () => this.#toggleRail());
    const status = make('div', 'status', new LoadStrip(loader).element, this.#problem);
    document.body.prepend(this.#rail, shade, make('div', 'middle', this.#bar, status, this.#main), this.#side);
    window.addEventListener('hashchange', () => this.#route());
    document.addEventListener('dragover', () => {
      document.body.dataset['drop'] = text('dropHint');
    });
    if (matchMedia('(max-width: 60rem)').matches) document.body.classList.add('rail-closed');
  }

  /** Fills the rail, above the views. */
  addRail(...elements: HTMLElement[]): void {
    this.#rail.append(...elements, this.#nav);
  }

  /** Adds a view; the first is shown when the address names none. */
  addView(name: string, key: MessageKey, iconName: IconName, element: HTMLElement): void {
    const link = make('a', '', icon(iconName), say(make('span'), key));
    link.href = `#${name}`;
    this.#nav.append(link);
    this.#main.append(element);
    this.#views.push({ name, element, opener: link });
    this.#route();
  }

  /** Adds a panel at the side, closed, with a button in the bar. */
  addPanel(name: string, key: MessageKey, iconName: IconName, element: HTMLElement): void {
    const opener = label(button('icon-button', () => this.#togglePanel(name), icon(iconName)), key);
    opener.id = `open-${name}`;
    opener.setAttribute('aria-expanded', 'false');
    const close = label(button('icon-button', () => this.#togglePanel(name), icon('close')), 'close');
    const panel = make('section', 'panel', make('div', 'dialog-head', say(make('h2'), key), close), element);
    panel.id = name;
    label(panel, key);
    panel.hidden = true;
    panel.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      this.#togglePanel(name);
      opener.focus();
    });
    this.#side.append(panel);
    this.#bar.append(opener);
    this.#panels.push({ name, element: panel, opener });
  }

  /** Shows a view. */
  show(name: string): void {
    if (location.hash !== `#${name}` && (location.hash !== '' || name !== this.#views[0]?.name)) location.hash = name;
    if (narrow()) document.body.classList.add('rail-closed');
  }

  /** Shows a failure with what can be done about it. */
  showProblem(error: unknown): void {
    const dismiss = say(button('quiet-button', () => this.hideProblem()), 'dismiss');
    const hint = error instanceof Qwen3Error ? error.hint : '';
    this.#problem.replaceChildren(make('strong', '', error instanceof Error ? error.message : String(error)), make('p', '', hint), dismiss);
    this.#problem.hidden = false;
  }

  /** Takes the failure away. */
  hideProblem(): void {
    this.#problem.hidden = true;
  }

  #route(): void {
    const named = this.#views.find(({ name }) => location.hash === `#${name}`) ?? this.#views[0];
    for (const view of this.#views) {
      view.element.hidden = view !== named;
      if (view === named) view.opener.setAttribute('aria-current', 'page');
      else view.opener.removeAttribute('aria-current');
    }
    if (narrow()) document.body.classList.add('rail-closed');
  }

  #toggleRail(): void {
    document.body.classList.toggle('rail-closed');
  }

  #togglePanel(name: string): void {
    for (const panel of this.#panels) {
      const shown = panel.name === name && panel.element.hidden;
      panel.element.hidden = !shown;
      panel.opener.setAttribute('aria-expanded', String(shown));
    }
    this.#side.hidden = this.#panels.every(({ element }) => element.hidden);
  }
}

function narrow(): boolean {
  return matchMedia('(max-width: 60rem)').matches;
}

/** The model, and the way to others. */
function modelChip(loader: ModelLoader, openModels: () => void): HTMLButtonElement {
  const dot = make('span', 'dot');
  const name = make('span', 'model-name');
  const device = make('span', 'quiet');
  const chip = button('chip', openModels, dot, name, device);
  chip.id = 'open-models';
  name.id = 'model-name';
  device.id = 'model-device';
  dot.id = 'model-dot';
  chip.setAttribute('aria-haspopup', 'dialog');
  loader.watch((state) => {
    dot.dataset['state'] = state.kind;
    if (state.kind === 'none' || state.kind === 'failed') say(name, 'chooseModel');
    else {
      name.removeAttribute('data-said');
      name.textContent = state.title;
    }
    device.textContent = state.kind === 'connected' ? hostOf(state.source) : state.kind === 'ready' ? (state.model.info.device === 'webgpu' ? 'WebGPU' : 'CPU') : '';
  });
  return chip;
}
