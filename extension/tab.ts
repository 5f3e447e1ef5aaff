// The web page beside the panel: read it, read its selection, type into it. Allowed where the user has called the extension (`activeTab`).

import { Qwen3Error } from 'qwen3-web';
import { hasField, selectedText, typeText } from './insert.js';
import type { PageText } from './page-text.js';

/** The page may not be touched yet: the user has to call the extension on it first. */
export class NotAllowed extends Error {
  override name = 'NotAllowed';
}

/** The tab that is in front in this window. */
export async function activeTab(): Promise<number> {
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  if (tab?.id === undefined) throw new Qwen3Error('invalid-argument', 'this window shows no page');
  return tab.id;
}

/** The readable text of a tab. */
export async function readTab(tabId: number): Promise<PageText> {
  await allowed(chrome.scripting.executeScript({ target: { tabId }, files: ['reader.js'] }));
  const [read] = await chrome.scripting.executeScript({ target: { tabId }, func: () => globalThis.qwen3ReadPage() });
  if (!read?.result?.text) throw new Qwen3Error('invalid-argument', 'this page shows no text', { hint: 'wait until it has loaded, or choose another page' });
  return read.result;
}

/** Title and address of a tab, as far as they may be known. */
export async function titleOf(tabId: number): Promise<{ title: string; url: string }> {
  const { title = '', url = '' } = await chrome.tabs.get(tabId);
  return { title, url };
}

/** What is selected in a frame, nothing if that cannot be told. */
export async function readSelection(tabId: number, frameId: number): Promise<string> {
  try {
    const [read] = await chrome.scripting.executeScript({ target: { tabId, frameIds: [frameId] }, func: selectedText });
    return read?.result ?? '';
  } catch {
    return '';
  }
}

/** Types a text into the field of the tab that has the focus. */
export async function insert(tabId: number, text: string): Promise<void> {
  const frames = await allowed(chrome.scripting.executeScript({ target: { tabId, allFrames: true }, func: hasField }));
  const frame = frames.find(({ result }) => result === true);
  const took = frame === undefined ? [] : await chrome.scripting.executeScript({ target: { tabId, frameIds: [frame.frameId] }, func: typeText, args: [text] });
  if (took[0]?.result !== true) {
    throw new Qwen3Error('invalid-argument', 'no text field of the page has the focus', { hint: 'click into the field, then insert again' });
  }
}

/** Tells what the user can change from what no extension may do: browsers do so by message alone. */
async function allowed<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (/must request permission|missing host permission/i.test(message)) throw new NotAllowed(message);
    throw new Qwen3Error('invalid-argument', `the browser lets no extension read this page (${message})`, {
      hint: "pages of the browser itself and of its store are closed to extensions: choose a web page", cause: error,
    });
  }
}
