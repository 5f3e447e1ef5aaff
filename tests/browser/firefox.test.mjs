// The same promises in Firefox: what is downloaded, stored, shared between tabs and repaired there.

import { test } from 'node:test';
import { firefoxPath } from './firefox.mjs';

if (firefoxPath() === undefined) {
  test('Firefox', { skip: 'no Firefox found: install one, or name it in FIREFOX' });
} else {
  process.env.BROWSER = 'firefox';
  await import('./download.test.mjs');
  await import('./storage.test.mjs');
}
