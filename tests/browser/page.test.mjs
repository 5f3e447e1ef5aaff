// The demo page's chat as a person uses it: ask, watch it think and answer, stop, edit, regenerate, copy, come back later; and by script.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { ANSWER, SCRIPT } from './bench.mjs';
import { ask, begin, startDemo } from './demo.mjs';

const SHOWN = ANSWER.replaceAll('**', '');

let demo;
before(async () => {
  demo = await startDemo({ permissions: ['clipboard-read', 'clipboard-write'], args: ['--host-resolver-rules=MAP plain.test 127.0.0.1'] });
});
after(() => demo?.close());

const answer = async (page) => (await page.locator('.answer').last().textContent()).trim();
const stopButton = '.composer [aria-label="Stop"]';

describe('the demo page', () => {
  test('loads its own model by itself and says what that is and where it runs', async () => {
    const page = await demo.page();
    const info = await page.evaluate(() => window.qwen3Demo.ready);
    assert.equal(info.name, 'qwen3-tiny-math:q8_0');
    assert.equal(await page.textContent('#model-name'), 'Tiny maths');
    assert.equal(await page.textContent('#model-device'), 'CPU');
    assert.equal(await page.isVisible('.load-strip'), false);
    await page.waitForSelector('.device-note:not([hidden])');
    assert.match(await page.textContent('.device-note'), /no WebGPU here, so the model runs on the processor/);
    await page.click('.suggestions button >> nth=0');
    await page.waitForSelector('.stats');
    assert.notEqual(await answer(page), '');
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('thinks in a panel that folds when the answer starts, answers when told to, and shows the figures', async () => {
    const page = await demo.page('/musing.gguf');
    await page.evaluate(() => {
      globalThis.open = [];
      new MutationObserver(() => {
        const thoughts = document.querySelector('.thoughts');
        if (thoughts !== null) globalThis.open.push(thoughts.open);
      }).observe(document.querySelector('.turns'), { subtree: true, childList: true, attributes: true });
    });
    await begin(page, 'Think');
    await page.waitForFunction(() => document.querySelector('.thoughts .text')?.textContent.length > 100);
    await page.waitForFunction(() => /^\d.* tokens\/s$/.test(document.querySelector('.speed').textContent));
    assert.match(await page.textContent('.thoughts summary'), /^Thinking · .*s · \d+ tokens$/);
    await page.click('text=Answer now');
    await page.waitForSelector('.stats');
    const states = (await page.evaluate(() => globalThis.open)).filter((state, index, all) => state !== all[index - 1]);
    assert.deepEqual(states, [true, false]);
    assert.match(await page.textContent('.thoughts summary'), /^Thought for .* · \d+ tokens$/);
    assert.equal(await answer(page), 'Done');
    assert.match(await page.textContent('.stats'), /tokens\/s · first token after .* tokens · CPU$/);
    await page.click('.thoughts summary');
    assert.match(await page.textContent('.thoughts .text'), /^ round and/);
    assert.equal(await page.textContent('[role="status"]'), 'Done');
    await page.close();
  });

  test('shows Markdown, code, tables and maths, and nothing that could act', async () => {
    const page = await demo.page('/rich.gguf');
    page.on('dialog', () => page.complaints.push('a script of the model ran'));
    await ask(page, 'All');
    await page.waitForSelector('.code .hljs-keyword');
    await page.waitForSelector('.math-display .katex-display .mfrac');
    assert.equal(await page.locator('.math:not(.math-display) .katex').count(), 1);
    assert.match(await page.textContent('.answer'), /at \$5 or \$6\./);
    assert.equal(await page.textContent('.code-head span'), 'python');
    assert.equal(await page.textContent('.answer td >> nth=1'), '2');
    assert.match(await page.textContent('.answer'), /☑\s+done/);
    assert.equal(await page.locator('.answer :is(img, script, .problem)').count(), 0);
    assert.equal(await page.getAttribute('.answer a', 'rel'), 'noopener noreferrer');
    await page.click('.code [aria-label="Copy"]');
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'def f(x):\n    return x + 1');
    await page.waitForFunction(() => document.fonts.check('16px KaTeX_Main'));
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('edits a question and asks anew, regenerates, copies, and remembers without thinking', async () => {
    const page = await demo.page('/scripted.gguf');
    await page.click('.switch');
    await ask(page, 'One');
    assert.equal(await answer(page), SHOWN);
    assert.equal(await page.locator('.thoughts').count(), 0);
    await ask(page, 'Two');
    assert.equal(await page.locator('.turn').count(), 4);
    await page.locator('.turn.assistant').last().locator('[aria-label="Copy"]').click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), ANSWER);
    await page.locator('.turn.assistant').first().locator('[aria-label="Regenerate"]').click();
    await page.waitForFunction(() => document.querySelectorAll('.turn').length === 2 && document.querySelector('.stats') !== null);
    await page.press('#prompt', 'ArrowUp');
    assert.equal(await page.inputValue('.edit textarea'), 'One');
    await page.fill('.edit textarea', 'Three');
    await page.press('.edit textarea', 'Enter');
    await page.waitForFunction(() => document.querySelector('.question')?.textContent === 'Three' && document.querySelector('.stats') !== null);
    await page.hover('.turn.user');
    await page.click('[aria-label="Edit"]');
    await page.press('.edit textarea', 'Escape');
    assert.equal(await page.locator('.edit').count(), 0);
    assert.equal(await page.locator('.turn').count(), 2);
    await page.click('.switch');
    assert.deepEqual(page.complaints, []);
    await page.close();
  });

  test('keeps conversations over a reload and shows them in other tabs; exports and deletes them', async () => {
    const page = await demo.page('/scripted.gguf');
    await ask(page, 'First of all');
    await page.click('#new-chat');
    assert.equal(await page.locator('.turn').count(), 0);
    assert.equal(await page.isVisible('.welcome'), true);
    await ask(page, 'Second');
    const other = await demo.page('/scripted.gguf');
    await other.click('.conversation >> text=First of all');
    await other.waitForSelector('.stats');
    assert.equal(await answer(other), SHOWN);
    assert.match(await other.textContent('.thoughts summary'), /^Thought for .* tokens$/);
    assert.equal((await other.textContent('.thoughts .text')), SCRIPT.thinking.join(''));
    const saved = async (name) => {
      const [download] = await Promise.all([other.waitForEvent('download'), other.click(`.exports [aria-label="${name}"]`)]);
      assert.match(download.suggestedFilename(), /^First-of-all\.(md|json)$/);
      return readFile(await download.path(), 'utf8');
    };
    assert.match(await saved('Export as Markdown'), /^# First of all\n\n## You\n\nFirst of all\n\n## Model\n\n> Okay, first/);
    assert.equal(JSON.parse(await saved('Export as JSON')).turns[1].messages[0].content, ANSWER);
    await ask(other, 'Third');
    await other.hover('.conversations li:has-text("Second")');
    await other.click('.conversations [aria-label="Delete “Second”"]');
    await other.click('.conversations [aria-label="Press again to delete"]');
    await page.waitForFunction(() => ![...document.querySelectorAll('.conversation')].some(({ title }) => title === 'Second'));
    assert.deepEqual([page.complaints, other.complaints], [[], []]);
    await other.close();
    await page.close();
  });

  test('stops at once by button and by Escape', async () => {
    const page = await demo.page('/endless.gguf');
    for (const stop of [() => page.click(stopButton), () => page.keyboard.press('Escape')]) {
      await begin(page, 'Go on');
      await page.waitForSelector('.turn:last-child .answer:not(:empty)');
      await stop();
      await page.waitForSelector('.turn:last-child .stats');
      assert.match(await page.textContent('.turn:last-child'), /Stopped\./);
      assert.equal(await page.isVisible(stopButton), false);
    }
    await page.close();
  });

  test('works from a host without TLS, where browsers keep things back, and says what it cannot do', async () => {
    const page = await demo.context.newPage();
    await page.goto(`${demo.server.url.replace('localhost', 'plain.test')}/sub/path/?model=/scripted.gguf`);
    await page.evaluate(() => window.qwen3Demo.ready);
    assert.equal(await page.evaluate(() => isSecureContext), false);
    await ask(page, 'One');
    assert.equal(await answer(page), SHOWN);
    await page.click('.turn.assistant [aria-label="Copy"]');
    await page.waitForSelector('.turn.assistant [aria-label="The browser does not let this page copy"]');
    await page.close();
  });

  test('can be driven by a script, whose prompt and reply show on the page', async () => {
    const page = await demo.page('/scripted.gguf');
    const events = await page.evaluate(async () => {
      const events = [];
      for await (const event of window.qwen3Demo.run('Hello', { seed: 3 })) events.push(event);
      return events;
    });
    assert.equal(events.filter(({ type }) => type === 'thinking').map(({ text }) => text).join(''), SCRIPT.thinking.join(''));
    assert.equal(events.at(-1).type, 'done');
    assert.equal(events.at(-1).result.content, ANSWER);
    assert.match(await page.textContent('.turn.user'), /Hello/);
    assert.equal(await answer(page), SHOWN);
    await page.close();
    const byAddress = await demo.page('/scripted.gguf', 'prompt=Hi');
    await byAddress.waitForSelector('.stats');
    await byAddress.close();
  });

  test('asked nothing of another host', () => {
    assert.deepEqual(demo.foreign.filter((url) => new URL(url).hostname !== 'plain.test'), []);
  });
});
