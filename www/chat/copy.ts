// The button that copies a text and says that it did.

import { button } from '../ui/dom.js';
import { icon, type IconName } from '../ui/icons.js';
import { label, type MessageKey } from '../ui/messages.js';

/** A button that copies what `text` gives when it is pressed. */
export function copyButton(text: () => string | Promise<string>, key: MessageKey = 'copy'): HTMLButtonElement {
  const made = button('icon-button', () => {
    copy().then(() => tell('check', 'copied'), () => tell('close', 'copyFailed'));
  }, icon('copy'));
  const copy = async (): Promise<void> => navigator.clipboard.writeText(await text());
  const tell = (sign: IconName, outcome: MessageKey): void => {
    made.replaceChildren(icon(sign));
    label(made, outcome);
    setTimeout(() => {
      made.replaceChildren(icon('copy'));
      label(made, key);
    }, 1500);
  };
  return label(made, key);
}
