// The switch for thinking, as it stands beside the send button.

import { make } from '../ui/dom.js';
import { say } from '../ui/messages.js';
import type { SettingsStore } from './settings.js';

/** A switch that is bound to the setting. */
export function thinkingSwitch(settings: SettingsStore): HTMLLabelElement {
  const box = make('input');
  box.type = 'checkbox';
  box.id = 'thinking';
  box.setAttribute('role', 'switch');
  box.addEventListener('change', () => settings.set({ thinking: box.checked }));
  settings.watch(({ thinking }) => {
    box.checked = thinking;
  });
  return make('label', 'switch', box, say(make('span'), 'thinkingSwitch'));
}
