// Starts a real Chromium for the tests and opens pages in which the package is loaded.

import { accessSync, constants, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

export const ROOT = new URL('../../', import.meta.url).pathname;

/** The browser's program. */
export function executable() {
  const named = process.env.CHROMIUM ?? process.env.CHROME_PATH;
  if (named) return named;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge'];
  const places = [
    ...(process.env.PATH ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name))),
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  ];
  const found = places.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error('no Chromium found: install one, or name it in CHROMIUM');
  return found;
}

/**
 * A browser with a profile of its own, which ends with it, or with that of a `folder`, which stays. With `webgpu` it has
 * an adapter, on machines without a GPU a software one (SwiftShader); without, it has none.
 */
export async function launch({ webgpu = false, folder, args = [], ...options } = {}) {
  const profile = folder ?? mkdtempSync(join(tmpdir(), 'qwen3-web-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: executable(),
    args: ['--no-sandbox', ...(webgpu ? ['--enable-unsafe-webgpu'] : []), ...args],
    ...options,
  });
  context.setDefaultTimeout(60_000);
  const close = context.close.bind(context);
  context.close = async () => {
    await close();
    if (folder !== undefined) return;
    // The browser's processes may still write for a moment.
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  };
  return context;
}

/** A page that collects everything the browser complains about in `page.complaints`. */
export async function open(context, url) {
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error') page.complaints.push(message.text());
  });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  await page.goto(url);
  return page;
}
