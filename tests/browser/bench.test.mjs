// The comparison that `cargo xtask bench` makes, on this package and the embedded model: its figures, its failures, its page.

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { compare, printSuite } from '../../bench/peers/compare.mjs';
import { FIGURES } from '../../bench/peers/contenders.mjs';
import { serveBench } from '../../bench/peers/site.mjs';
import { launch, open, ROOT } from './chromium.mjs';

/** The others are not installed here: one of them stands for all that cannot run. */
const SUITE = { model: 'qwen3-tiny-math', promptTokens: 16, tokens: 6, contenders: ['qwen3-web cpu', 'wllama 1 thread'] };

let server;
before(async () => { server = await serveBench({ checkpoints: `${ROOT}pkg`, modules: `${ROOT}absent` }); });
after(() => server.close());

test('measures what runs and says why the rest does not', async () => {
  const told = [];
  const { rounds, medians } = await compare(server, SUITE, { rounds: 2, tell: (line) => told.push(line) });
  const [ours, other] = SUITE.contenders.map((contender) => medians[contender]);
  // The embedded model comes and goes between two looks at the memory.
  for (const { name } of FIGURES) assert.ok(ours[name] > 0 || name === 'peakBytes' && ours[name] === 0, `${name}: ${JSON.stringify(ours)}`);
  assert.ok(ours.promptTokens >= SUITE.promptTokens && ours.tokens === SUITE.tokens, JSON.stringify(ours));
  const engine = statSync(`${ROOT}pkg/engine-cpu.wasm`).size;
  assert.ok(ours.libraryBytes > engine && ours.libraryBytes < 2 * engine, 'the engine and its JavaScript, without the model and the other engine');
  assert.ok(ours.libraryBrotliBytes < ours.libraryBytes / 2);
  assert.equal(rounds['qwen3-web cpu'].length, 2);
  assert.match(other.error, /module/);
  assert.equal(rounds['wllama 1 thread'].length, 1, 'what does not run is not tried again');
  assert.equal(told.length, 3);

  const lines = [];
  const { log } = console;
  console.log = (line) => lines.push(line);
  try {
    printSuite({ ...SUITE, medians });
  } finally {
    console.log = log;
  }
  assert.ok(lines.some((line) => line.startsWith('qwen3-web cpu') && / 1× +1×$/.test(line)), lines.join('\n'));
  assert.ok(lines.some((line) => line.startsWith('wllama 1 thread did not run: ')), lines.join('\n'));
});

test('the page measures the same and draws it', async () => {
  const context = await launch();
  try {
    const page = await open(context, `${server.url}/?suite=${encodeURIComponent(JSON.stringify(SUITE))}`);
    await page.fill('#rounds', '1');
    await page.click('button');
    await page.waitForFunction(() => document.getElementById('status').value === 'done');
    assert.equal(await page.evaluate(() => document.getElementById('progress').value), 1);
    const headings = await page.locator('h3').allTextContents();
    assert.deepEqual(headings.map((heading) => heading.split(',')[0]), ['Decode', 'Prefill', 'First token', 'Load', 'Second load', 'Library', 'Library']);
    assert.match(await page.locator('.ours').first().textContent(), /qwen3-web cpu\d/);
    assert.match(await page.locator('.failed').textContent(), /does not run here: .*module/);
  } finally {
    await context.close();
  }
});
