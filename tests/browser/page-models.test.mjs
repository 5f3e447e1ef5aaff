// The demo page's models as a person uses them: the catalogue, download with pause and resume, own files, trouble, a full disk, a phone.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
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
/** Requests for it that have not ended. */
let open = 0;
before(async () => {
  demo = await startDemo();
  demo.server.routes.set('/large.gguf', serveLarge);
});
// Also where a test has failed: with its page go its quota and its downloads.
afterEach(() => Promise.all(demo.context.pages().slice(1).map((page) => page.close())));
after(() => demo?.close());

const ready = (page, name) => page.waitForFunction((name) => document.querySelector('#model-name').textContent === name
  && document.querySelector('#model-dot').dataset.state === 'ready', name);

function serveLarge(request, response) {
  const [, first, last] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
  const from = Number(first ?? 0);
  const to = last ? Number(last) + 1 : large.length;
  response.writeHead(first === undefined ? 200 : 206, {
    'Content-Length': to - from, ETag: '"large"', 'Accept-Ranges': 'bytes',
    ...(first === undefined ? {} : { 'Content-Range': `bytes ${from}-${to - 1}/${large.length}` }),
  });
  const given = large.subarray(from, Math.max(from, Math.min(to, gate)));
  served += given.length;
  open += 1;
  response.on('close', () => { open -= 1; });
  if (to <= gate) response.end(given);
  else response.write(given);
}

/** How many bytes of a model the page's database holds. */
const storedBytes = (name) => new Promise((resolve) => {
  indexedDB.open('qwen3-web').onsuccess = ({ target: { result: database } }) => {
    database.transaction('manifests').objectStore('manifests').get(name).onsuccess = ({ target }) => {
      database.close();
      resolve(target.result?.files[0].chunks.reduce((sum, chunk) => sum + (chunk?.bytes ?? 0), 0));
    };
  };
});

// So that what never comes does not hold up the other tests.
describe('the models of the demo page', { timeout: 600_000 }, () => {
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
  });

  test('a download shows its bytes, is paused, goes on where it was, is listed as stored, and deleted', async () => {
    const page = await demo.page('/scripted.gguf');
    gate = Math.floor(large.length * 0.7);
    await page.click('#open-models');
    await page.fill('.own input[type="url"]', `${demo.server.url}/large.gguf`);
    await page.press('.own input[type="url"]', 'Enter');
    await page.waitForFunction(() => /Downloading · .* MB of .* MB/.test(document.querySelector('.load-strip').textContent));
    const address = `${demo.server.url}/large.gguf`;
    while (!await page.evaluate(storedBytes, address));
    await page.click('.load-strip >> text=Pause');
    assert.match(await page.textContent('.load-strip'), /large\.gguf is paused/);
    // Until the download has ended, and all it keeps is in the store.
    while (await page.evaluate(async () => (await navigator.locks.query()).held.length) > 0);
    // Nor has the server a request of before to answer: one that comes later is answered later.
    await page.evaluate(() => fetch('/scripted.gguf', { cache: 'no-store' }).then((response) => response.blob()));
    while (open > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    const stored = await page.evaluate(storedBytes, address);
    gate = Infinity;
    served = 0;
    await page.click('.load-strip >> text=Resume');
    await ready(page, 'large.gguf');
    assert.ok(stored > 0 && served <= large.length - stored, `${served} of ${large.length} bytes came again, ${stored} were stored`);
    const later = await demo.page();
    assert.equal(await later.textContent('#model-name'), 'large.gguf');
    await later.close();
    await page.click('#open-models');
    const card = page.locator('.catalogue li', { hasText: 'large.gguf' });
    await card.locator('.stored').waitFor();
    assert.match(await card.textContent(), /stored/);
    await card.locator('[aria-label^="Delete"]').click();
    await card.waitFor({ state: 'detached' });
    assert.deepEqual(page.complaints, []);
    await page.goto(`${demo.server.url}/sub/path/`);
    await ready(page, 'Tiny maths');
  });

  test('a server answers in place of a model here, and the page says where the words go', async () => {
    const page = await demo.page('/scripted.gguf');
    const asked = [];
    demo.server.routes.set('/v1/models', (request, response) => response.writeHead(request.headers.authorization === 'Bearer secret' ? 200 : 401).end('{"data":[{"id":"served"}]}'));
    demo.server.routes.set('/v1/chat/completions', (request, response) => {
      request.on('data', (part) => asked.push(part)).on('end', () => {
        const chunks = [{ delta: { reasoning_content: 'So' } }, { delta: { content: 'From afar' } }, { delta: {}, finish_reason: 'stop' }];
        response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(chunks.map((choice) => `data: ${JSON.stringify({ id: '1', choices: [choice] })}\n\n`).join('') + 'data: [DONE]\n\n');
      });
    });
    const connect = async (address, key) => {
      await page.click('#open-models');
      await page.evaluate(() => { document.querySelector('.server').open = true; });
      await page.fill('[name="server"]', `${demo.server.url}${address}`);
      await page.fill('[name="server-key"]', key);
      await page.click('.server >> text=Connect');
    };
    await connect('/absent/v1', '');
    await page.waitForFunction(() => /check the address/.test(document.querySelector('.load-strip.failed')?.textContent));
    await connect('/v1', 'wrong');
    await page.waitForFunction(() => /check the key/.test(document.querySelector('.load-strip.failed')?.textContent));
    await connect('/v1/', 'secret');
    await page.waitForSelector('#model-dot[data-state="connected"]');
    assert.equal(await page.textContent('#model-name'), 'served');
    assert.equal(await page.textContent('#model-device'), new URL(demo.server.url).host);
    assert.match(await page.textContent('.welcome'), /what you write goes to localhost/);
    await ask(page, 'Hello there');
    assert.equal((await page.textContent('.answer')).trim(), 'From afar');
    assert.equal(await page.textContent('.thoughts .text'), 'So');
    const { model, messages } = JSON.parse(Buffer.concat(asked));
    assert.deepEqual([model, messages], ['served', [{ role: 'user', content: 'Hello there' }]]);
    await page.click('#open-models');
    await page.click('[aria-label="Load Tiny maths"]');
    await ready(page, 'Tiny maths');
    assert.doesNotMatch(await page.textContent('.welcome'), /localhost/);
  });

  test('a full disk is told with what to do, and the download goes on when there is room', async (t) => {
    const full = await startDemo();
    t.after(() => full.close());
    full.server.routes.set('/large.gguf', serveLarge);
    // Before a database is open: from then on the browser remembers for a while how much room there was.
    const devtools = await full.context.newCDPSession(await full.context.newPage());
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: full.server.url, quotaSize: 5e6 });
    const page = await full.page();
    await page.click('#open-models');
    await page.fill('.own input[type="url"]', `${full.server.url}/large.gguf`);
    await page.press('.own input[type="url"]', 'Enter');
    await page.waitForSelector('.load-strip.failed');
    // Before the first byte where the browser tells of the limit, else when it is reached.
    assert.match(await page.textContent('.load-strip'), /(the browser has \d+ left|the browser refused to store more)[\s\S]*the download goes on from there/);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: full.server.url });
    await page.click('.load-strip >> text=Try again');
    await ready(page, 'large.gguf');
    assert.deepEqual(page.complaints, []);
  });

  test('lists the catalogue with sizes and needs, and what is used of the storage', async () => {
    const page = await demo.page('/scripted.gguf');
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li');
    const text = await page.textContent('.models');
    assert.match(text, /Qwen3 0\.6B.*397 MB · needs 900 MB of memory/);
    assert.match(text, /ships with the page/);
    await page.waitForFunction(() => /\d [kMG]B this browser gives/.test(document.querySelector('.storage').textContent));
    await page.click('[aria-label="Load Tiny maths"]');
    await ready(page, 'Tiny maths');
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li[aria-current]');
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('dialog[open]').count(), 0);
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
  });

  test('asked nothing of another host', () => {
    assert.deepEqual(demo.foreign, []);
  });
});
