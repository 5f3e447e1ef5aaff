// Starts a real Firefox and drives it through Marionette, the protocol under its WebDriver
// (https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firefox } from './firefox.mjs';

/** Pages of an extension get an address that each profile draws by lot; here it is chosen. */
const ADDRESS = '4f1b0a5e-3c57-4d0b-9c1f-6f6f1f3f9a10';

/**
 * A Firefox without a window, with a profile of its own, which ends with it, and with the unpacked extension of a folder.
 * Besides commands it takes a script for one of its three places, as the body of an async function.
 */
export async function launch({ id, folder }) {
  const profile = mkdtempSync(join(tmpdir(), 'qwen3-web-'));
  const settings = { 'marionette.port': 0, 'extensions.webextensions.uuids': JSON.stringify({ [id]: ADDRESS }) };
  writeFileSync(join(profile, 'user.js'), Object.entries(settings).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
  const program = spawn(firefox(), ['--headless', '--marionette', '--remote-allow-system-access', '--no-remote', '--profile', profile], { stdio: 'ignore' });
  const ended = new Promise((resolve) => program.once('exit', resolve));
  try {
    const marionette = await Marionette.connect(Number(await written(join(profile, 'MarionetteActivePort'))));
    await marionette.call('WebDriver:NewSession', {});
    await marionette.call('Addon:Install', { path: folder, temporary: true });
    const [page] = await marionette.call('WebDriver:GetWindowHandles', {});
    await marionette.script('chrome', `
      const { linkedBrowser } = gBrowser.addTrustedTab('moz-extension://${ADDRESS}/manifest.json');
      while (linkedBrowser.currentURI.scheme !== 'moz-extension') await new Promise((resolve) => setTimeout(resolve, 50));`);
    const inside = (await marionette.call('WebDriver:GetWindowHandles', {})).find((handle) => handle !== page);
    const at = async (handle, body) => {
      await marionette.call('WebDriver:SwitchToWindow', { handle, focus: false });
      return marionette.script('content', body);
    };
    return {
      async visit(url) {
        await marionette.call('WebDriver:SwitchToWindow', { handle: page, focus: false });
        await marionette.call('WebDriver:Navigate', { url });
      },
      /** In the page that was visited. */
      inPage: (body) => at(page, body),
      /** In a page of the extension, which sees its others. */
      inExtension: (body) => at(inside, body),
      /** Presses the extension's button in the toolbar. */
      pressButton: () => marionette.script('chrome', `
        const { ExtensionParent } = ChromeUtils.importESModule('resource://gre/modules/ExtensionParent.sys.mjs');
        const { extension } = WebExtensionPolicy.getByID(${JSON.stringify(id)});
        await ExtensionParent.apiManager.global.browserActionFor(extension).triggerAction(window);`),
      async close() {
        await marionette.call('Marionette:Quit', { flags: ['eForceQuit'] }).catch(() => program.kill());
        await ended;
        await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
      },
    };
  } catch (error) {
    program.kill();
    throw error;
  }
}

/** What a file says, once it is there. */
async function written(path) {
  for (let tries = 0; tries < 600; tries += 1) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (text !== '') return text;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Firefox did not start: no ${path}`);
}

/** Messages are `length:json`; a command is `[0, id, name, parameters]`, its answer `[1, id, error, result]`. */
class Marionette {
  #socket;
  #received = Buffer.alloc(0);
  #waiting = new Map();
  #next = 0;

  static async connect(port) {
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
    return new Marionette(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('Firefox has gone'));
    });
  }

  call(name, parameters) {
    const id = this.#next++;
    const text = JSON.stringify([0, id, name, parameters]);
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** Runs the body of an async function in the browser itself (`chrome`) or in the page at hand (`content`). */
  async script(context, body) {
    await this.call('Marionette:SetContext', { value: context });
    const script = `const done = arguments[arguments.length - 1]; (async () => { ${body} })().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value: { value, error } } = await this.call('WebDriver:ExecuteAsyncScript', { script, args: [] });
    await this.call('Marionette:SetContext', { value: 'content' });
    if (error !== undefined) throw new Error(error);
    return value;
  }

  #take(bytes) {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      const colon = this.#received.indexOf(':');
      const end = colon + 1 + Number(this.#received.subarray(0, colon));
      if (colon < 0 || this.#received.length < end) return;
      const [, id, error, result] = JSON.parse(this.#received.subarray(colon + 1, end));
      this.#received = this.#received.subarray(end);
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(`${error.error}: ${error.message}`));
      else resolve(result);
    }
  }
}
