// The script that is injected into a page to read it: its function is called by a second injection, which returns the result.

import { readPage } from './page-text.js';

declare global {
  var qwen3ReadPage: typeof readPage;
}

globalThis.qwen3ReadPage = readPage;
