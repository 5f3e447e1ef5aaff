// A Chromium with the sidebar installed, and the real side panel beside a page: opened by its toolbar button and driven through
// the protocol of the browser's developer tools, because Playwright has no name for such a page.

import { writeFileSync } from 'node:fs';
import { launch, ROOT } from './chromium.mjs';

const EXTENSION = `${ROOT}extension/dist/chromium`;

/** A browser with the extension, in which no host but this machine exists. */
export async function launchWithExtension({ args = [], ...options } = {}) {
  const context = await launch({
    ...options,
    args: [
      `--disable-extensions-except=${EXTENSION}`, `--load-extension=${EXTENSION}`, '--enable-unsafe-extension-debugging',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1', ...args,
    ],
  });
  const background = context.serviceWorkers()[0] ?? await context.waitForEvent('serviceworker');
  return { context, background, id: new URL(background.url()).host };
}

/** The side panel of the window. */
export class SidePanel {
  /** Every error and warning the panel's console has shown. */
  complaints = [];
  #browser;
  #session;
  #waiting = new Map();
  #next = 0;

  /** Clicks the extension's button in the toolbar while `page` is in front, which opens the panel if it is closed. */
  static async click({ context, id }, page) {
    const browser = await context.browser().newBrowserCDPSession();
    await page.bringToFront();
    const { targetInfos } = await browser.send('Target.getTargets', { filter: [{ type: 'tab' }] });
    const { targetId } = targetInfos.find(({ url }) => url === page.url());
    await browser.send('Extensions.triggerAction', { id, targetId });
    return browser;
  }

  /** Opens the panel beside a page, once in each window. */
  static async open(extension, page) {
    // A browser that has just begun may not heed its buttons yet.
    for (let tries = 1; ; tries += 1) {
      const browser = await SidePanel.click(extension, page);
      try {
        return await SidePanel.attach(extension, browser, 15_000);
      } catch (error) {
        if (tries === 4) throw error;
      }
    }
  }

  /** Takes the panel that is open, or is just opening. */
  static async attach({ context, id }, browser, patienceMs = 60_000) {
    const session = browser ?? await context.browser().newBrowserCDPSession();
    for (const end = Date.now() + patienceMs; Date.now() < end;) {
      const { targetInfos } = await session.send('Target.getTargets', { filter: [{ type: 'page' }] });
      const panel = targetInfos.find(({ url }) => url === `chrome-extension://${id}/panel.html`);
      if (panel !== undefined) {
        const { sessionId } = await session.send('Target.attachToTarget', { targetId: panel.targetId, flatten: false });
        const attached = new SidePanel(session, sessionId);
        await Promise.all([attached.#send('Runtime.enable'), attached.#send('Log.enable'), attached.#send('Page.enable')]);
        await attached.waitFor(() => document.readyState === 'complete');
        return attached;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('no side panel has opened');
  }

  constructor(browser, session) {
    this.#browser = browser;
    this.#session = session;
    browser.on('Target.receivedMessageFromTarget', ({ sessionId, message }) => {
      if (sessionId === session) this.#take(JSON.parse(message));
    });
  }

  /** What a function gives in the panel. */
  async evaluate(work, argument) {
    const { result, exceptionDetails } = await this.#send('Runtime.evaluate', {
      expression: `(${work})(${JSON.stringify(argument)})`, awaitPromise: true, returnByValue: true, userGesture: true,
    });
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until a function gives something true in the panel, and returns it. */
  async waitFor(work, argument, timeout = 60_000) {
    const end = Date.now() + timeout;
    for (;;) {
      const value = await this.evaluate(work, argument);
      if (value) return value;
      if (Date.now() > end) throw new Error(`never so: ${work}\n${await this.evaluate(() => document.body.innerText)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Clicks the middle of the first element of that selector, as a person would. */
  async click(selector) {
    const place = await this.waitFor((wanted) => {
      const element = document.querySelector(wanted);
      if (element === null || element.disabled || !element.checkVisibility()) return undefined;
      element.scrollIntoView({ block: 'nearest' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    }, selector);
    for (const type of ['mousePressed', 'mouseReleased']) {
      await this.#send('Input.dispatchMouseEvent', { type, ...place, button: 'left', clickCount: 1 });
    }
  }

  /** Types into the field of that selector. */
  async type(selector, text) {
    await this.evaluate((wanted) => document.querySelector(wanted).focus(), selector);
    await this.#send('Input.insertText', { text });
  }

  async press(key) {
    for (const type of ['keyDown', 'keyUp']) {
      await this.#send('Input.dispatchKeyEvent', { type, key, code: key, windowsVirtualKeyCode: key === 'Enter' ? 13 : 27, ...(type === 'keyDown' && key === 'Enter' ? { text: '\r' } : {}) });
    }
  }

  /** Gives a file input a file of this machine. */
  async chooseFile(selector, path) {
    const { root } = await this.#send('DOM.getDocument');
    const { nodeId } = await this.#send('DOM.querySelector', { nodeId: root.nodeId, selector });
    await this.#send('DOM.setFileInputFiles', { nodeId, files: [path] });
  }

  /** Shows the panel as if the system were light or dark. */
  async emulate(colorScheme) {
    await this.#send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: colorScheme }] });
  }

  async screenshot(path) {
    const { data } = await this.#send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(path, Buffer.from(data, 'base64'));
  }

  #send(method, params = {}) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#browser.send('Target.sendMessageToTarget', { sessionId: this.#session, message: JSON.stringify({ id, method, params }) }).catch(reject);
    });
  }

  #take({ id, method, params, result, error }) {
    if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Log.entryAdded' && params.entry.level === 'error') this.complaints.push(params.entry.text);
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') this.complaints.push(params.args.map(({ value }) => value).join(' '));
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error.message));
  }
}
