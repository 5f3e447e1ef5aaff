// The demo page as a person uses it: load, ask, watch it think and answer, stop, bring an own model, on a phone, and by script.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ANSWER, SCRIPT, scripted, serveModels } from './bench.mjs';
import { launch, open, ROOT } from './chromium.mjs';
import { serve } from './server.mjs';

const SHOWN = ANSWER.replaceAll('**', '');

let context;
let server;
before(async () => {
  server = await serve({ '/sub/path/': `${ROOT}www/dist/` });
  serveModels(server);
  context = await launch();
});
after(async () => {
  await context?.close();
  await server?.close();
});

/** The page with that model loaded. */
async function demo(model, query = '') {
  const page = await open(context, `${server.url}/sub/path/?model=${model}${query}`);
  await page.evaluate(() => window.qwen3Demo.ready);
  return page;
}

async function ask(page, prompt) {
  await page.fill('#prompt', prompt);
  await page.keyboard.press('Enter');
}

describe('the demo page', () => {
  test('loads its own model by itself and says what that is', async () => {
    const page = await open(context, `${server.url}/sub/path/`);
    const info = await page.evaluate(() => window.qwen3Demo.ready);
    assert.equal(info.name, 'qwen3-tiny-math:q8_0');
    assert.equal(await page.textContent('#model-name'), 'Tiny maths');
    assert.equal(await page.textContent('#model-device'), 'CPU');
    assert.equal(await page.isVisible('#loading'), false);
    await ask(page, 'What is 1 + 1?');
    await page.waitForSelector('.stats');
    assert.notEqual(await page.textContent('.answer'), '');
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('thinks in a panel that folds when the answer starts, answers when told to, and shows the figures', async () => {
    const page = await demo('/musing.gguf');
    await page.evaluate(() => {
      globalThis.open = [];
      new MutationObserver(() => {
        const thoughts = document.querySelector('.thoughts');
        if (thoughts !== null && !thoughts.hidden) globalThis.open.push(thoughts.open);
      }).observe(document.querySelector('#turns'), { subtree: true, childList: true, attributes: true });
    });
    await ask(page, 'Think');
    await page.waitForFunction(() => document.querySelector('.thoughts .text')?.textContent.length > 100);
    await page.waitForFunction(() => /^\d.* tokens\/s$/.test(document.querySelector('#speed').textContent));
    await page.click('.thoughts button');
    await page.waitForSelector('.stats');
    const states = (await page.evaluate(() => globalThis.open)).filter((state, index, all) => state !== all[index - 1]);
    assert.deepEqual(states, [true, false]);
    assert.match(await page.textContent('.thoughts summary'), /^Thought for .* · \d+ tokens$/);
    assert.equal(await page.textContent('.answer'), 'Done\n');
    assert.match(await page.textContent('.stats'), /tokens\/s · first token after .* tokens · CPU$/);
    await page.click('.thoughts summary');
    assert.match(await page.textContent('.thoughts .text'), /^ round and round/);
    assert.equal(await page.textContent('#announce'), 'Done');
    await page.close();
  });

  test('answers in Markdown, without thinking if that is switched off, and remembers the conversation', async () => {
    const page = await demo('/scripted.gguf');
    await page.click('.switch');
    await ask(page, 'One');
    await page.waitForSelector('.stats');
    assert.equal((await page.textContent('.answer')).trim(), SHOWN);
    assert.equal(await page.textContent('.answer strong'), '68');
    assert.equal(await page.isVisible('.thoughts'), false);
    await ask(page, 'Two');
    await page.waitForSelector('.turn:nth-child(4) .stats');
    await page.click('#new-chat');
    assert.equal(await page.locator('.turn').count(), 0);
    assert.equal(await page.isVisible('#welcome'), true);
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('stops at once by button and by Escape', async () => {
    const page = await demo('/endless.gguf');
    for (const stop of [() => page.click('#stop'), () => page.keyboard.press('Escape')]) {
      await ask(page, 'Go on');
      await page.waitForSelector('.turn:last-child .answer:not(:empty)');
      const start = Date.now();
      await stop();
      await page.waitForSelector('.turn:last-child .stats');
      assert.ok(Date.now() - start < 1000, `${Date.now() - start} ms`);
      assert.match(await page.textContent('.turn:last-child'), /Stopped\./);
    }
    await page.close();
  });

  test('a wrong address is explained, and an own file works after it', async () => {
    const page = await open(context, `${server.url}/sub/path/?model=/absent.gguf`);
    await page.waitForSelector('#problem:not([hidden])');
    assert.match(await page.textContent('#problem'), /404[\s\S]*check the address/);
    assert.equal(await page.isDisabled('#suggestions button'), true);
    await page.click('#open-models');
    await page.setInputFiles('#own-file', { name: 'own.gguf', mimeType: '', buffer: scripted });
    await page.waitForSelector('#model-dot[data-state="ready"]');
    assert.equal(await page.textContent('#model-name'), 'own.gguf');
    assert.equal(await page.isVisible('#problem'), false);
    await ask(page, 'Hi');
    await page.waitForSelector('.stats');
    assert.equal((await page.textContent('.answer')).trim(), SHOWN);
    await page.close();
  });

  test('a dropped file is loaded', async () => {
    const page = await demo('/endless.gguf');
    const transfer = await page.evaluateHandle(async () => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([await (await fetch('/scripted.gguf')).blob()], 'dropped.gguf'));
      return transfer;
    });
    await page.dispatchEvent('body', 'drop', { dataTransfer: transfer });
    await page.waitForFunction(() => document.querySelector('#model-name').textContent === 'dropped.gguf' && document.querySelector('#model-dot').dataset.state === 'ready');
    await page.close();
  });

  test('lists the catalogue with sizes, what is stored, and deletes it', async () => {
    const page = await demo('/scripted.gguf');
    await page.click('#open-models');
    await page.waitForSelector('#catalogue li');
    const text = await page.textContent('#catalogue');
    assert.match(text, /Qwen3 0\.6B.*397 MB/);
    assert.match(text, /ships with the page/);
    assert.match(await page.textContent('#storage'), /GB this browser gives/);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('dialog[open]').count(), 0);
    await page.close();
  });

  test('can be driven by a script, whose prompt and reply show on the page', async () => {
    const page = await demo('/scripted.gguf');
    const events = await page.evaluate(async () => {
      const events = [];
      for await (const event of window.qwen3Demo.run('Hello', { seed: 3 })) events.push(event);
      return events;
    });
    assert.equal(events.filter(({ type }) => type === 'thinking').map(({ text }) => text).join(''), SCRIPT.thinking.join(''));
    assert.equal(events.at(-1).type, 'done');
    assert.equal(events.at(-1).result.content, ANSWER);
    assert.match(await page.textContent('.turn.user'), /Hello/);
    assert.equal((await page.textContent('.answer')).trim(), SHOWN);
    await page.close();
    const byAddress = await demo('/scripted.gguf', '&prompt=Hi');
    await byAddress.waitForSelector('.stats');
    await byAddress.close();
  });

  test('nothing was asked of another host, and nothing overflows on a phone', async () => {
    const page = await context.newPage();
    const foreign = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) foreign.push(request.url());
    });
    await page.setViewportSize({ width: 360, height: 640 });
    await page.goto(`${server.url}/sub/path/?model=/scripted.gguf&prompt=${encodeURIComponent(`${'long'.repeat(60)} words`)}`);
    await page.waitForSelector('.stats');
    await page.click('#open-models');
    await page.waitForSelector('#catalogue li');
    const wide = await page.evaluate(() => [...document.querySelectorAll('body, main, dialog, .composer, .turn')]
      .filter((element) => element.scrollWidth > element.clientWidth + 1 || element.getBoundingClientRect().right > innerWidth + 1)
      .map((element) => element.className || element.tagName));
    assert.deepEqual([wide, foreign], [[], []]);
    await page.close();
  });
});
