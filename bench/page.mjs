// Measures how the demo page's main thread keeps up, as JSON: node bench/page.mjs
//
// Long tasks while replies stream, and the time from a press on Stop to the end of the reply. Build first (`cargo xtask build`).
// Run it on a quiet machine: PerformanceObserver counts the time a task waited for a core too. `cpu` is without that, from a trace.

import { ask, begin, startDemo } from '../tests/browser/demo.mjs';

/** What a task may take at most before the browser calls it long. */
const LONG_MS = 50;
const STOPS = 10;

/** Traces the page's main thread; the function it gives ends that and tells of the tasks by the processor time they took. */
async function startTrace(page) {
  const devtools = await demo.context.newCDPSession(page);
  const events = [];
  devtools.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await devtools.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline'] } });
  return async () => {
    const whole = new Promise((resolve) => devtools.once('Tracing.tracingComplete', resolve));
    await devtools.send('Tracing.end');
    await whole;
    const frames = events.find(({ name, args }) => name === 'TracingStartedInBrowser' && args.data)?.args.data.frames ?? [];
    const process = frames.find(({ url }) => url === page.url())?.processId;
    const main = events.find(({ name, pid, args }) => name === 'thread_name' && pid === process && args.name === 'CrRendererMain')?.tid;
    const times = events.filter(({ name, pid, tid, tdur }) => pid === process && tid === main && tdur !== undefined && /RunTask/.test(name)).map(({ tdur }) => tdur / 1000);
    return { tasks: times.length, long: times.filter((ms) => ms > LONG_MS).length, longestMs: Math.round(times.reduce((most, ms) => Math.max(most, ms), 0)) };
  };
}

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
  const trace = await startTrace(page);
  for (const prompt of prompts) await ask(page, prompt);
  const cpu = await trace();
  const tasks = await page.evaluate(() => globalThis.tasks);
  const characters = await page.evaluate(() => document.querySelector('.turns').textContent.length);
  figures.longTasks[name] = { characters, count: tasks.length, longestMs: Math.max(0, ...tasks), cpu, limitMs: LONG_MS };
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
