// Measures this package beside others in headless Chromium, taking turns; prints tables of medians, writes all as JSON.
//
// usage: node bench/peers/compare.mjs [--rounds 3] [--contenders 'NAME,NAME'] [--model full|small --prompt 128 --tokens 32]
//                                     [--limit SECONDS] [--checkpoints FOLDER] [--out FILE]
//        node bench/peers/compare.mjs --page [--port 8090]       serves the page that does the same in a browser of your own
//
// `cargo xtask bench` prepares what it needs. In every round a contender has a browser and a profile of its own. Memory is what
// all processes of the browser hold beyond a blank page, shared pages divided among them (Linux only).

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { launch, open, ROOT } from '../../tests/browser/chromium.mjs';
import { keep, number, printTable } from '../table.mjs';
import { CONTENDERS, FIGURES, median, suites } from './contenders.mjs';
import { memoryOf } from './memory.mjs';
import { serveBench, weigh } from './site.mjs';

/** A call of the harness in a page of its own; a page that crashes is an error too. */
async function inPage(context, server, call, settings) {
  const page = await open(context, `${server.url}/frame.html`);
  const gone = new Promise((_, reject) => page.once('crash', () => reject(new Error('the page crashed'))));
  await page.waitForFunction('globalThis.harness !== undefined');
  const figures = await Promise.race([page.evaluate(([name, argument]) => globalThis.harness[name](argument), [call, settings]), gone]);
  await page.close();
  return figures;
}

/** One contender once: its figures, or `{ error }` with its own words. */
async function once(server, settings, limitMs) {
  const folder = await mkdtemp(join(os.tmpdir(), 'qwen3-web-bench-'));
  let context;
  let peak = 0;
  const sampling = setInterval(() => { peak = Math.max(peak, memoryOf(folder) ?? 0); }, 1500);
  const figures = async () => {
    context = await launch({ webgpu: CONTENDERS[settings.contender].device === 'webgpu', folder });
    await open(context, `${server.url}/frame.html`).then((page) => page.close());
    const blank = memoryOf(folder);
    server.library();
    const first = { ...await inPage(context, server, 'measure', settings), library: server.library() };
    const second = await inPage(context, server, 'loadAgain', settings);
    return { ...first, ...second, ...(blank === undefined ? {} : { peakBytes: Math.max(peak - blank, 0) }) };
  };
  let limit;
  const late = new Promise((_, reject) => { limit = setTimeout(() => reject(new Error(`not done after ${limitMs / 1000} s`)), limitMs); });
  try {
    return await Promise.race([figures(), late]);
  } catch (error) {
    return { error: String(error.message).replace(/^page\.evaluate: /, '').split('\n')[0] };
  } finally {
    clearInterval(sampling);
    clearTimeout(limit);
    await context?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

/** What a page of that server runs in. */
async function environmentOf(server) {
  const context = await launch({ webgpu: true });
  try {
    return await inPage(context, server, 'environment');
  } finally {
    await context.close();
  }
}

/**
 * Measures the contenders of a suite in turns, each in every round until it fails: `{ model, promptTokens, tokens, rounds, medians }`,
 * rounds and medians by contender; a contender that failed has `{ error }` for medians.
 */
export async function compare(server, { contenders, ...sizes }, { rounds, limitMs = 600_000, tell = () => {} }) {
  const results = Object.fromEntries(contenders.map((contender) => [contender, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const contender of contenders) {
      if (results[contender].some(({ error }) => error !== undefined)) continue;
      const figures = await once(server, { contender, ...sizes }, limitMs);
      results[contender].push(figures);
      tell(`round ${round}, ${contender}: ${JSON.stringify(figures, (_, value) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value))}`);
    }
  }
  const medians = {};
  for (const [contender, list] of Object.entries(results)) {
    const [{ library, ...figures }] = list;
    const middle = (name) => median(list.map((measured) => measured[name]));
    medians[contender] = list.find(({ error }) => error !== undefined)
      ?? { ...Object.fromEntries(Object.keys(figures).map((name) => [name, middle(name)])), ...await weigh(library) };
  }
  return { ...sizes, rounds: results, medians };
}

/** Prints a suite's medians, and how many times faster the first contender decodes and prefills. */
export function printSuite({ model, promptTokens, tokens, medians }) {
  const [reference] = Object.values(medians);
  const times = (figures, name) => (reference[name] > 0 ? `${number(reference[name] / figures[name])}×` : '–');
  console.log(`\n${model}: a prompt of about ${promptTokens} tokens, ${tokens} more`);
  printTable(
    ['', ...FIGURES.map(({ title, unit }) => `${title} ${unit}`), 'decode', 'prefill'],
    Object.entries(medians).map(([contender, figures]) => [contender, ...(figures.error === undefined
      ? [...FIGURES.map(({ name, one }) => number(figures[name] / one)), times(figures, 'decodeTokensPerSecond'), times(figures, 'prefillTokensPerSecond')]
      : [])]),
  );
  for (const [contender, { error }] of Object.entries(medians)) if (error !== undefined) console.log(`${contender} did not run: ${error}`);
}

async function main() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      contenders: { type: 'string' },
      model: { type: 'string' },
      prompt: { type: 'string', default: '128' },
      tokens: { type: 'string', default: '32' },
      limit: { type: 'string', default: '600' },
      checkpoints: { type: 'string', default: `${ROOT}.cache/bench/checkpoints` },
      out: { type: 'string', default: `${ROOT}target/bench-browser.json` },
      page: { type: 'boolean', default: false },
      port: { type: 'string', default: '8090' },
    },
  });
  const server = await serveBench({ checkpoints: values.checkpoints, port: values.page ? Number(values.port) : 0 });
  if (values.page) {
    console.log(`open ${server.url} in the browser to measure (Ctrl-C ends it)`);
    return;
  }
  const { adapter, browser } = await environmentOf(server);
  const wanted = values.contenders?.split(',') ?? Object.keys(CONTENDERS);
  const unknown = wanted.filter((contender) => CONTENDERS[contender] === undefined);
  if (unknown.length > 0) throw new Error(`expected contenders among ${Object.keys(CONTENDERS).join(', ')}, got ${unknown.join(', ')}`);
  const own = { model: values.model, promptTokens: Number(values.prompt), tokens: Number(values.tokens), contenders: wanted };
  const chosen = values.model === undefined
    ? suites(adapter).map((suite) => ({ ...suite, contenders: suite.contenders.filter((contender) => wanted.includes(contender)) }))
    : [own];
  const measured = [];
  for (const suite of chosen.filter(({ contenders }) => contenders.length > 0)) {
    measured.push(await compare(server, suite, { rounds: Number(values.rounds), limitMs: Number(values.limit) * 1000, tell: console.error }));
  }
  await server.close();
  keep(values.out, { browser, adapter, suites: measured });
  console.log(`${browser}; adapter: ${adapter === undefined ? 'none' : `${adapter.vendor} ${adapter.architecture} ${adapter.description}`}`);
  measured.forEach(printSuite);
  console.log(`\nmedians of ${values.rounds} rounds; ×: how many times as fast the first is; all of it in ${values.out}`);
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) await main();
