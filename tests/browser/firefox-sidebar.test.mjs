// The sidebar in a real Firefox, from the same source: it opens by its button, its engine runs, it reads the page and writes into it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ROOT } from './chromium.mjs';
import { launch } from './marionette.mjs';
import { serve } from './server.mjs';

const FOLDER = `${ROOT}extension/dist/firefox`;
const manifest = JSON.parse(readFileSync(`${FOLDER}/manifest.json`, 'utf8'));

describe('the sidebar in Firefox', () => {
  let browser;
  let server;
  before(async () => {
    server = await serve({ '/pages/': `${ROOT}tests/fixtures/pages/` });
    browser = await launch({ id: manifest.browser_specific_settings.gecko.id, folder: FOLDER });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** Waits until a function of the sidebar's document gives something true, and returns it. */
  const waitFor = (work) => browser.inExtension(`
    for (const end = Date.now() + 60000; ;) {
      const [view] = browser.extension.getViews({ type: 'sidebar' });
      const value = view?.document.body && (${work})(view.document);
      if (value) return value;
      if (Date.now() > end) throw new Error('never so: ' + view?.document.body.innerText);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }`);
  const click = (selector) => waitFor(`(document) => { const found = document.querySelector('${selector}'); found?.click(); return found !== null; }`);

  test('has the manifest that Firefox wants', () => {
    assert.deepEqual(manifest.permissions.sort(), ['activeTab', 'contextMenus', 'scripting', 'storage', 'unlimitedStorage']);
    assert.deepEqual(manifest.background, { scripts: ['background.js'] });
    assert.equal(manifest.side_panel, undefined);
  });

  test('opens by its button and loads its own model', async () => {
    await browser.visit(`${server.url}/pages/article.html`);
    await browser.pressButton();
    await waitFor(`(document) => document.querySelector('#model-dot[data-state="ready"]') !== null`);
    assert.equal(await waitFor(`(document) => document.querySelector('#model-name').textContent`), 'Tiny maths');
  });

  test('answers about the page, and types the answer into it', async () => {
    await click('.page-bar button');
    await waitFor(`(document) => document.querySelector('.hint').textContent.includes('Why tides come twice a day')`);
    await waitFor(`(document) => {
      document.querySelector('#thinking').click();
      const prompt = document.querySelector('#prompt');
      prompt.value = 'How often?';
      prompt.dispatchEvent(new Event('input'));
      document.querySelector('.composer').requestSubmit();
      return true;
    }`);
    await waitFor(`(document) => document.querySelector('.turn:last-child .stats') !== null`);
    const text = await waitFor(`(document) => document.querySelector('.attachment .text').textContent`);
    assert.match(text, /^> ## Springs and neaps$/m);
    assert.doesNotMatch(text, /Subscribe|new boat/);
    await browser.inPage(`document.querySelector('#comment').focus()`);
    await click('.turn:last-child .turn-foot button:last-of-type');
    await waitFor(`(document) => document.querySelector('.turn:last-child').textContent.includes('Inserted')`);
    assert.notEqual(await browser.inPage(`return document.querySelector('#comment').value`), '');
  });
});
