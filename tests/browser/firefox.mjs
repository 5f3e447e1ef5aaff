// Starts a real Firefox over WebDriver BiDi, with the few methods of Playwright's contexts that the tests of stored weights use.

import { accessSync, constants } from 'node:fs';
import puppeteer from 'puppeteer-core';

/** The Firefox of this machine, nothing if there is none. */
export function firefoxPath() {
  const places = [process.env.FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox', '/Applications/Firefox.app/Contents/MacOS/firefox'];
  return places.find((path) => {
    try {
      accessSync(path ?? '', constants.X_OK);
      return path !== undefined;
    } catch {
      return false;
    }
  });
}

/** A browser with a profile of its own, which ends with it. `quotaBytes` is all that its sites may store. */
export async function launchFirefox({ quotaBytes } = {}) {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: firefoxPath(),
    headless: true,
    protocolTimeout: 300_000,
    extraPrefsFirefox: quotaBytes === undefined ? {} : { 'dom.quotaManager.temporaryStorage.fixedLimit': Math.floor(quotaBytes / 1024) },
  });
  return { newPage: () => browser.newPage(), close: () => browser.close() };
}
