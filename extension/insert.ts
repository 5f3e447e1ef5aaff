// Functions that run in a page, each by itself: no name outside of them exists there.

/** Whether this frame's focus is in a field that takes text. */
export function hasField(): boolean {
  let field = document.activeElement;
  while (field?.shadowRoot?.activeElement) field = field.shadowRoot.activeElement;
  if (field instanceof HTMLInputElement) return /^(text|search|url|tel|email)$/.test(field.type) && !field.readOnly && !field.disabled;
  if (field instanceof HTMLTextAreaElement) return !field.readOnly && !field.disabled;
  return field instanceof HTMLElement && field.isContentEditable;
}

/** Types a text where the caret is, so that the page hears of it and its undo knows it. True if the field took it. */
export function typeText(text: string): boolean {
  return document.execCommand('insertText', false, text);
}

/** What is selected in this frame, with its line breaks. */
export function selectedText(): string {
  return getSelection()?.toString() ?? '';
}
