// The demo page's panels and views as a person uses them: settings, tools, inspector, comparison, benchmark, languages, looks; and axe over all.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { ask, rich, startDemo } from './demo.mjs';
import { call, scriptedModel } from './scripted.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Calls both tools at once; told the 98 of the calculator, it answers. */
const caller = scriptedModel({
  thinking: ['Hm'],
  answer: ['<tool_call>', call('calculator', { expression: '7 * (3 + 4) * 2' }), '</tool_call>', '<tool_call>', call('clock', { timeZone: 'UTC' }), '</tool_call>'],
  turns: [{ after: '8', answer: ['Ninety', '-eight'] }],
  context: 2560,
});

/** What the compare view asks. */
const SAMPLE = JSON.parse(await readFile(new URL('../../www/compare/questions.json', import.meta.url), 'utf8'));

let demo;
let page;
before(async () => {
  demo = await startDemo({ permissions: ['clipboard-read', 'clipboard-write'] });
  page = await demo.page('/scripted.gguf');
});
after(() => demo?.close());

const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
const panel = async (name) => {
  if (!await page.isVisible(`#${name}`)) await page.click(`#open-${name}`);
};
/** What axe finds serious or worse. */
async function serious() {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' ')}`);
  });
}
/** The prompt the inspector shows for the last reply. */
async function shownPrompt() {
  await panel('inspector');
  await page.click('.inspector-row >> text=Show');
  await page.waitForFunction(() => document.querySelector('.prompt-text').textContent.includes('<|im_start|>'));
  return page.textContent('.prompt-text');
}

// So that what never comes does not hold up the other tests.
describe('the panels of the demo page', { timeout: 600_000 }, () => {
  test('the inspector shows figures, the exact prompt and a report', async () => {
    await ask(page, 'Inspect me');
    await panel('inspector');
    const figures = await page.textContent('.inspector dl');
    assert.match(figures, /Speed[\d.]+ tokens\/s.*First token.*Tokens\d+ thinking, \d+ answer.*Context used\d+ of 512/);
    assert.match(await shownPrompt(), /^<\|im_start\|>user\nInspect me<\|im_end\|>\n<\|im_start\|>assistant\n/);
    await page.click('[aria-label="Copy the report"]');
    while (!(await clipboard()).includes('userAgent'));
    assert.equal(JSON.parse(await clipboard()).model.device, 'cpu');
    assert.deepEqual(await serious(), []);
  });

  test('the settings reach the model, outlast a reload, and follow the preset', async () => {
    await panel('settings');
    await page.fill('#settings textarea', 'Be brief.');
    await page.selectOption('[name="preset"]', 'precise');
    assert.equal(await page.inputValue('[name="temperature"]'), '0.3');
    await page.fill('[name="topK"]', '7');
    await page.press('[name="topK"]', 'Tab');
    assert.equal(await page.inputValue('[name="preset"]'), 'custom');
    assert.deepEqual(await serious(), []);
    await page.reload();
    await page.evaluate(() => window.qwen3Demo.ready);
    await panel('settings');
    assert.equal(await page.inputValue('[name="topK"]'), '7');
    assert.equal(await page.inputValue('[name="temperature"]'), '0.3');
    await page.selectOption('[name="preset"]', 'recommended');
    await ask(page, 'Anything');
    assert.match(await shownPrompt(), /^<\|im_start\|>system\nBe brief\.<\|im_end\|>/);
    await panel('settings');
    await page.fill('#settings textarea', '');
    await page.selectOption('[name="contextLength"]', '2048');
    await page.waitForSelector('.load-strip.failed');
    assert.match(await page.textContent('.load-strip'), /contextLength must be 1 to 512/);
    await page.selectOption('[name="contextLength"]', '0');
    await page.waitForSelector('#model-dot[data-state="ready"]');
  });

  test('the two tools are called, and each call shows with its result', async () => {
    await panel('settings');
    await page.check('#settings [name="calculator"]');
    await page.check('#settings [name="clock"]');
    await page.setInputFiles('.drop input', { name: 'caller.gguf', mimeType: '', buffer: caller });
    await page.waitForFunction(() => document.querySelector('#model-name').textContent === 'caller.gguf' && document.querySelector('#model-dot').dataset.state === 'ready');
    await page.click('#new-chat');
    await page.fill('#prompt', 'Reckon');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.stats');
    const [calculator, clock] = await page.locator('.tool-call').allTextContents();
    assert.equal(calculator, 'Calls calculator{"expression":"7 * (3 + 4) * 2"}98');
    assert.match(clock, /^Calls clock\{"timeZone":"UTC"\}\w+day.*UTC$/);
    assert.equal((await page.textContent('.answer')).trim(), 'Ninety-eight');
    await page.uncheck('#settings [name="calculator"]');
    await page.uncheck('#settings [name="clock"]');
    await page.reload();
    await page.evaluate(() => window.qwen3Demo.ready);
    await page.click('.conversation >> text=Reckon');
    assert.deepEqual([await page.textContent('.tool-call output >> nth=0'), (await page.textContent('.answer')).trim()], ['98', 'Ninety-eight']);
  });

  test('compares thinking with the scores of the embedded model, and times it', async () => {
    await page.click('.views-nav >> text=Compare thinking');
    const [{ question, right: rightIs }] = SAMPLE;
    await page.click(`.sample >> text=${question}`);
    await page.waitForFunction(() => document.querySelectorAll('.compare .stats').length === 2);
    assert.equal(await page.locator('.compare .column >> nth=0').locator('.thoughts').count(), 1);
    assert.equal(await page.locator('.compare .column >> nth=1').locator('.thoughts').count(), 0);
    assert.ok((await page.textContent('.compare')).includes(`Right is: ${rightIs}`));
    await page.waitForSelector('.scores:not(.sample) tbody tr');
    const readme = await readFile(new URL('../../models/tiny-math/README.md', import.meta.url), 'utf8');
    const [right, of] = ['en', 'zh'].map((language) => new RegExp(`\\| triangle \\|  \\| think \\| ${language} \\| (\\d+)/(\\d+)`).exec(readme))
      .reduce(([right, of], match) => [right + Number(match[1]), of + Number(match[2])], [0, 0]);
    assert.match(await page.textContent('.scores:not(.sample) tr:has-text("triangle")'), new RegExp(`^triangle${Math.round((right / of) * 100)} %`));
    assert.deepEqual(await serious(), []);
    await page.click('.views-nav >> text=Benchmark');
    await page.click('.benchmark >> text=Run');
    await page.waitForSelector('[aria-label="Copy the figures"]:visible');
    assert.equal(await page.locator('.measure').count(), 4);
    assert.equal(await page.locator('.bench-bar').count(), 10);
    await page.click('[aria-label="Copy the figures"]');
    while (!(await clipboard()).includes('rounds'));
    assert.equal(JSON.parse(await clipboard()).rounds.length, 3);
    assert.deepEqual(await serious(), []);
    await page.click('.views-nav >> text=Chat');
  });

  test('asks the evaluation sample in both modes, marks what is right, and thinking is worth its time', async () => {
    const own = await demo.page('', '#compare');
    await own.click('text=Run the sample');
    await own.waitForFunction((count) => document.querySelectorAll('.sample .mark').length === count, 2 * SAMPLE.length);
    await own.waitForSelector('text=Run the sample >> visible=true');
    const rows = await own.evaluate(() => [...document.querySelectorAll('.sample tbody tr')].map((row) => [...row.querySelectorAll('.mark')]
      .map((mark) => ({ reply: mark.nextElementSibling.textContent, marked: mark.querySelector('.visually-hidden').textContent }))));
    const numbers = (text) => text.replaceAll('−', '-').match(/-?\d+(\/\d+)?/g)?.join();
    const counts = [0, 0];
    for (const [index, modes] of rows.entries()) {
      for (const [mode, { reply, marked }] of modes.entries()) {
        const right = numbers(reply) === numbers(SAMPLE[index].right);
        assert.equal(marked, right ? 'right' : 'wrong', `${reply} for ${SAMPLE[index].right}`);
        counts[mode] += right ? 1 : 0;
      }
    }
    const tallies = await own.locator('.sample thead .quiet').allTextContents();
    for (const [mode, tally] of tallies.entries()) assert.match(tally, new RegExp(`^${counts[mode]} of ${SAMPLE.length} right · \\d+ tokens each$`));
    assert.ok(counts[0] > counts[1], tallies.join(', '));
    assert.deepEqual(own.complaints, []);
    await own.close();
  });

  test('has no serious fault of accessibility in an answer with everything an answer can hold', async () => {
    await page.setInputFiles('.drop input', { name: 'rich.gguf', mimeType: '', buffer: rich });
    await page.waitForFunction(() => document.querySelector('#model-name').textContent === 'rich.gguf' && document.querySelector('#model-dot').dataset.state === 'ready');
    await page.click('#new-chat');
    await ask(page, 'All');
    await page.waitForSelector('.code .hljs-keyword');
    await page.waitForSelector('.katex-display');
    await page.click('.thoughts summary');
    assert.deepEqual(await serious(), []);
  });

  test('speaks Chinese, is dark or light as one likes, and has names for everything', async () => {
    await panel('settings');
    await page.selectOption('[name="language"]', 'zh');
    assert.equal(await page.textContent('.new-chat'), '新对话');
    assert.equal(await page.getAttribute('html', 'lang'), 'zh');
    assert.equal(await page.getAttribute('#prompt', 'placeholder'), '问点什么');
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li');
    // What the catalogue says of a model too.
    for (const words of await page.locator('.catalogue li p:not(.address)').allTextContents()) assert.match(words, /\p{Script=Han}/u);
    await page.keyboard.press('Escape');
    await page.selectOption('[name="look"]', 'dark');
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(22, 23, 26)');
    assert.deepEqual(await serious(), []);
    await page.selectOption('[name="language"]', 'en');
    await page.click('#open-models');
    await page.waitForSelector('.catalogue li');
    assert.deepEqual(await serious(), []);
    await page.keyboard.press('Escape');
    await page.selectOption('[name="look"]', 'system');
    await page.focus('#settings select');
    await page.keyboard.press('Escape');
    assert.equal(await page.isVisible('#settings'), false);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'open-settings');
  });

  test('complained of nothing and asked nothing of another host', () => {
    assert.deepEqual([page.complaints, demo.foreign], [[], []]);
  });
});
