// Counts the long tasks of the demo page's main thread while replies stream, as JSON: node bench/long_tasks.mjs
//
// Build first (`cargo xtask build`). Run it on a quiet machine: a browser that has to wait for a core reports that as a task.

import { ask, startDemo } from '../tests/browser/demo.mjs';

/** What a task may take at most before the browser calls it long. */
const LONG_MS = 50;

const demo = await startDemo();
const figures = {};
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
  figures[name] = { characters, longTasks: tasks.length, longestMs: Math.max(0, ...tasks), limitMs: LONG_MS };
  await page.close();
}
console.log(JSON.stringify(figures, undefined, 1));
await demo.close();
