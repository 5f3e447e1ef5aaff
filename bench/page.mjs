// Measures how the demo page's main thread keeps up, as JSON: node bench/page.mjs
//
// Long tasks while replies stream, and the time from a press on Stop to the end of the reply. Build first (`cargo xtask build`).
// Run it on a quiet machine: a browser that has to wait for a core reports that as a task.

import { ask, begin, startDemo } from '../tests/browser/demo.mjs';

/** What a task may take at most before the browser calls it long. */
const LONG_MS = 50;
const STOPS = 10;

const demo = await startDemo();
const figures = { longTasks: {}, stopMs: [] };
for (const [name, model, prompts] of [
  ['embedded', '', ['Solve 2x² − 3x − 9 = 0', 'Solve 3x² + 5x − 2 = 0', 'What is 7 × 8 + 12?']],
  ['markdown', '/rich.gguf', ['One', 'Two']],
  ['long answer', '/endless.gguf', ['Go on']],
  ['long thinking', '/musing.gguf', ['Think']],
]) {
  const page = await demo.page(model);
  await page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
  });
  for (const prompt of prompts) await ask(page, prompt);
  const tasks = await page.evaluate(() => globalThis.tasks);
  const characters = await page.evaluate(() => document.querySelector('.turns').textContent.length);
  figures.longTasks[name] = { characters, count: tasks.length, longestMs: Math.max(0, ...tasks), limitMs: LONG_MS };
  await page.close();
}

const page = await demo.page('/endless.gguf');
for (let round = 0; round < STOPS; round += 1) {
  await page.click('#new-chat');
  await begin(page, 'Go on');
  await page.waitForSelector('.answer:not(:empty)');
  figures.stopMs.push(await page.evaluate(() => new Promise((resolve) => {
    const start = performance.now();
    new MutationObserver(() => {
      if (document.querySelector('.stats') !== null) resolve(performance.now() - start);
    }).observe(document.querySelector('.turns'), { subtree: true, childList: true });
    document.querySelector('.composer .round:not([hidden])').click();
  })));
}
figures.stopMs = figures.stopMs.map(Math.round).sort((a, b) => a - b);
console.log(JSON.stringify(figures, undefined, 1));
await demo.close();
