// Starts a real Firefox over WebDriver BiDi, with the few methods of Playwright's contexts that the tests of stored weights use.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import puppeteer from 'puppeteer-core';

/** The program. */
export function firefox() {
  const found = [process.env.FIREFOX, ...(process.env.PATH ?? '').split(delimiter).flatMap((folder) => [join(folder, 'firefox'), join(folder, 'firefox-esr')]), '/Applications/Firefox.app/Contents/MacOS/firefox']
    .find((path) => path && existsSync(path));
  if (found === undefined) throw new Error('no Firefox found: install one, or name it in FIREFOX');
  return found;
}

/** What one site may store of the limit that is set for all of them (GetGroupLimit of dom/quota/ActorsParent.cpp). */
const SHARE_OF_A_SITE = 1 / 5;

/** A browser with a profile of its own, which ends with it. `quotaBytes` is what each site may store. */
export async function launchFirefox({ quotaBytes } = {}) {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: firefox(),
    headless: true,
    protocolTimeout: 300_000,
    extraPrefsFirefox: quotaBytes === undefined ? {} : { 'dom.quotaManager.temporaryStorage.fixedLimit': Math.floor(quotaBytes / SHARE_OF_A_SITE / 1024) },
  });
  return { newPage: () => browser.newPage(), close: () => browser.close() };
}
