// The demo page's models as a person uses them: the catalogue, download with pause and resume, own files, trouble, a full disk, a phone.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ANSWER, scripted } from './bench.mjs';
import { ask, startDemo } from './demo.mjs';
import { scriptedModel } from './scripted.mjs';

const SHOWN = ANSWER.replaceAll('**', '');
/** Large enough for several chunks of the store. */
const large = scriptedModel({ thinking: ['Hm'], answer: ['Large'], unused: 20_000 });

let demo;
/** From here on the server keeps the bytes of the large file to itself. */
let gate = Infinity;
let served = 0;
before(async () => {
  demo = await startDemo();
  demo.server.routes.set('/large.gguf', (request, response) => {
    const [, first, last] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
    const from = Number(first ?? 0);
    const to = last ? Number(last) + 1 : large.length;
    response.writeHead(first === undefined ? 200 : 206, {
      'Content-Length': to - from, ETag: '"large"', 'Accept-Ranges': 'bytes',
      ...(first === undefined ? {} : { 'Content-Range': `bytes ${from}-${to - 1}/${large.length}` }),
    });
    const given = large.subarray(from, Math.max(from, Math.min(to, gate)));
    served += given.length;
    if (to <= gate) response.end(given);
    else response.write(given);
  });
});
after(() => demo?.close());

const ready = (page, name) => page.waitForFunction((name) => document.querySelector('#model-name').textContent === name
  && document.querySelector('#model-dot').dataset.state === 'ready', name);

describe('the models of the demo page', () => {
  test('a wrong address is explained, and an own file works after it', async () => {
    const page = await demo.open('?model=/absent.gguf');
    await page.waitForSelector('.load-strip.failed');
    assert.match(await page.textContent('.load-strip'), /404[\s\S]*check the address/);
    assert.equal(await page.isDisabled('.suggestions button >> nth=0'), true);
    await page.click('#open-models');
    await page.setInputFiles('.drop input', { name: 'wrong.gguf', mimeType: '', buffer: Buffer.from('<!doctype html> this is no model at all') });
    await page.waitForFunction(() => /GGUF/.test(document.querySelector('.load-strip.failed')?.textContent));
    await page.click('#open-models');
    await page.setInputFiles('.drop input', { name: 'own.gguf', mimeType: '', buffer: scripted });
    await ready(page, 'own.gguf');
    assert.equal(await page.isVisible('.load-strip'), false);
    await ask(page, 'Hi');
    assert.equal((await page.textContent('.answer')).trim(), SHOWN);
    await page.close();
  });

  test('a dropped file is loaded', async () => {
    const page = await demo.page('/endless.gguf');
    const transfer = await page.evaluateHandle(async () => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([await (await fetch('/scripted.gguf')).blob()], 'dropped.gguf'));
      return transfer;
    });
    await page.dispatchEvent('body', 'dragover', { dataTransfer: transfer });
    assert.equal(await page.evaluate(() => document.body.classList.contains('dropping')), true);
    await page.dispatchEvent('body', 'drop', { dataTransfer: transfer });
    await ready(page, 'dropped.gguf');
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('a download shows its bytes, is paused, goes on where it was, is listed as stored, and deleted', async () => {
    const page = await demo.page('/scripted.gguf');
    gate = Math.floor(large.length * 0.7);
    await page.click('#open-models');
    await page.fill('.own input[type="url"]', `${demo.server.url}/large.gguf`);
    await page.press('.own input[type="url"]', 'Enter');
    await page.waitForFunction(() => /Downloading · .* MB of .* MB/.test(document.querySelector('.load-strip').textContent));
    // Until the first chunk is in the store.
    await page.waitForFunction(async () => {
      const { value } = document.querySelector('.load-strip progress');
      return value > 0.5;
    });
    await page.click('.load-strip >> text=Pause');
    assert.match(await page.textContent('.load-strip'), /large\.gguf is paused/);
    gate = Infinity;
    served = 0;
    await page.click('.load-strip >> text=Resume');
    await ready(page, 'large.gguf');
    assert.ok(served < large.length * 0.8, `${served} of ${large.length} bytes came again`);
    await page.click('#open-models');
    const card = page.locator('.catalogue li', { hasText: 'large.gguf' });
    await card.locator('.stored').waitFor();
    assert.match(await card.textContent(), /stored/);
    await card.locator('[aria-label^="Delete"]').click();
    await card.waitFor({ state: 'detached' });
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('a full disk is told with what to do, and the download goes on when there is room', async () => {
    const page = await demo.page('/scripted.gguf');
    const devtools = await demo.context.newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: demo.server.url, quotaSize: 5e6 });
    await page.click('#open-models');
    await page.fill('.own input[type="url"]', `${demo.server.url}/large.gguf`);
    await page.press('.own input[type="url"]', 'Enter');
    await page.waitForSelector('.load-strip.failed');
    // Before the first byte where the browser tells of the limit, else when it is reached.
    assert.match(await page.textContent('.load-strip'), /(the browser has \d+ left|the browser refused to store more)[\s\S]*the download goes on from there/);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: demo.server.url });
    await page.click('.load-strip >> text=Try again');
    await ready(page, 'large.gguf');
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('lists the catalogue with sizes and needs, and what is used of the storage', async () => {
    const page = await demo.page('/scripted.gguf');
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li');
    const text = await page.textContent('.models');
    assert.match(text, /Qwen3 0\.6B.*397 MB · needs 900 MB of memory/);
    assert.match(text, /ships with the page/);
    await page.waitForFunction(() => /GB this browser gives/.test(document.querySelector('.storage').textContent));
    await page.click('[aria-label="Load Tiny maths"]');
    await ready(page, 'Tiny maths');
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li[aria-current]');
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('dialog[open]').count(), 0);
    await page.close();
  });

  test('nothing overflows on a phone', async () => {
    const page = await demo.open(`?model=/scripted.gguf&prompt=${encodeURIComponent(`${'long'.repeat(60)} words`)}`);
    await page.setViewportSize({ width: 360, height: 640 });
    await page.reload();
    await page.waitForSelector('.stats');
    const wide = () => page.evaluate(() => [...document.querySelectorAll('body, main, dialog[open], .composer, .turn, .rail, .panel:not([hidden])')]
      .filter((element) => element.scrollWidth > element.clientWidth + 1 || element.getBoundingClientRect().right > innerWidth + 1)
      .map((element) => element.className || element.tagName));
    assert.deepEqual(await wide(), []);
    await page.click('.menu');
    await page.waitForSelector('.conversation');
    assert.deepEqual(await wide(), []);
    await page.click('.conversation');
    await page.waitForSelector('.rail', { state: 'hidden' });
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li');
    assert.deepEqual(await wide(), []);
    await page.close();
  });

  test('asked nothing of another host', () => {
    assert.deepEqual(demo.foreign, []);
  });
});
