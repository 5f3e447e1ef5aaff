// What a first visitor reads: what this is, and where the model runs if that is not the graphics card.

import { diagnose } from 'qwen3-web';
import { entryOf, hostOf, type ModelLoader } from './models/loader.js';
import { make } from './ui/dom.js';
import { catalogueText, say, saying } from './ui/messages.js';

/** The welcome; it learns of the device when a model is loaded. */
export function welcome(loader: ModelLoader): HTMLElement {
  const device = make('p', 'device-note');
  const about = make('p', 'model-note');
  device.hidden = true;
  loader.watch((state) => {
    const note = state.kind === 'ready' ? entryOf(state.source)?.note : undefined;
    about.hidden = note === undefined;
    if (note !== undefined) saying(about, () => catalogueText(note));
    device.hidden = state.kind !== 'ready' || state.model.info.device !== 'cpu';
    if (!device.hidden) void explain(device);
  });
  const where = make('p');
  loader.watch((state) => {
    if (state.kind === 'connected') say(where, 'toServer', { host: hostOf(state.source) });
    else say(where, 'welcomeText');
  });
  return make('div', '', say(make('h2'), 'welcomeTitle'), where, about, device);
}

async function explain(place: HTMLElement): Promise<void> {
  const { adapter } = await diagnose();
  say(place, adapter === undefined ? 'onCpu' : 'onCpuSlow');
}
