// The button that copies a text and says that it did.

import { button } from '../ui/dom.js';
import { icon } from '../ui/icons.js';
import { label, type MessageKey } from '../ui/messages.js';

/** A button that copies what `text` gives when it is pressed. */
export function copyButton(text: () => string | Promise<string>, key: MessageKey = 'copy'): HTMLButtonElement {
  const made = button('icon-button', () => void copy(), icon('copy'));
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(await text());
    made.replaceChildren(icon('check'));
    label(made, 'copied');
    setTimeout(() => {
      made.replaceChildren(icon('copy'));
      label(made, key);
    }, 1500);
  };
  return label(made, key);
}
