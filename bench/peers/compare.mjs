// Measures this package beside others in headless Chromium, interleaved and repeated; prints medians, writes all as JSON.
//
// usage: node bench/peers/compare.mjs [--model FILE] [--contenders 'NAME,NAME'] [--rounds 3] [--prompt 128] [--tokens 32] [--out FILE]
//        node bench/peers/compare.mjs --serve [--port 8090]    the same in a browser of your own
//
// `cargo xtask bench` prepares what it needs. A contender has a browser and a profile of its own in each round. Memory is
// that of all the browser's processes, shared pages divided among them (Linux only).

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { launch, open, ROOT } from '../../tests/browser/chromium.mjs';
import { notText, serveBench } from './site.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: `${ROOT}.cache/fixtures/full-q4_0.gguf` },
    contenders: { type: 'string', default: 'qwen3-web cpu,wllama 1 thread,wllama 2 threads' },
    rounds: { type: 'string', default: '3' },
    prompt: { type: 'string', default: '128' },
    tokens: { type: 'string', default: '32' },
    out: { type: 'string', default: `${ROOT}target/bench.json` },
    serve: { type: 'boolean', default: false },
    port: { type: 'string', default: '8090' },
  },
});

/** Kilobytes of the processes that have the profile's name on their command line, and of those they started. */
function memoryOf(profile) {
  let processes;
  try {
    processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return { pid, parent: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1], line: readFileSync(`/proc/${pid}/cmdline`, 'utf8') };
      } catch {
        return undefined; // It has ended.
      }
    }).filter((process) => process !== undefined);
  } catch {
    return undefined; // No Linux.
  }
  const ours = new Set(processes.filter(({ line }) => line.includes(profile)).map(({ pid }) => pid));
  for (let before = -1; before !== ours.size;) {
    before = ours.size;
    for (const { pid, parent } of processes) if (ours.has(parent)) ours.add(pid);
  }
  let sum = 0;
  for (const pid of ours) {
    try {
      sum += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      // It has ended, or is not ours to look at.
    }
  }
  return sum;
}

async function round(server, contender) {
  const folder = await mkdtemp(join(os.tmpdir(), 'qwen3-web-bench-'));
  const context = await launch({ webgpu: contender.includes('webgpu'), folder });
  context.setDefaultTimeout(0);
  let peak = 0;
  const timer = setInterval(() => { peak = Math.max(peak, memoryOf(folder) ?? 0); }, 500);
  try {
    const settings = { contender, model: '/model.gguf', notText: notText(), promptTokens: Number(values.prompt), tokens: Number(values.tokens) };
    const inPage = async (call) => {
      const page = await open(context, `${server.url}/frame.html`);
      const result = await page.evaluate(([name, argument]) => globalThis.contenders[name](argument), [call, settings]);
      await page.close();
      return result;
    };
    const blankMegabytes = (memoryOf(folder) ?? 0) / 1024;
    const figures = await inPage('measure');
    return { ...figures, secondLoadMs: await inPage('loadAgain'), peakMegabytes: peak / 1024, blankMegabytes };
  } finally {
    clearInterval(timer);
    await context.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

const server = await serveBench(values.model, values.serve ? Number(values.port) : 0);
if (values.serve) {
  console.log(`open ${server.url} in the browser to measure (Ctrl-C ends it)`);
} else {
  const contenders = values.contenders.split(',');
  const rounds = Object.fromEntries(contenders.map((contender) => [contender, []]));
  for (let number = 1; number <= Number(values.rounds); number++) {
    for (const contender of contenders) {
      const figures = await round(server, contender);
      rounds[contender].push(figures);
      console.error(`round ${number}, ${contender}: ${JSON.stringify(figures, (_, value) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value))}`);
    }
  }
  await server.close();
  const medians = Object.fromEntries(Object.entries(rounds).map(([contender, list]) => [
    contender, Object.fromEntries(Object.keys(list[0]).map((figure) => [figure, median(list.map((figures) => figures[figure]))])),
  ]));
  const machine = { processor: os.cpus()[0]?.model, cores: os.cpus().length, load: os.loadavg()[0] };
  writeFileSync(values.out, `${JSON.stringify({ date: new Date().toISOString(), machine, model: values.model, medians, rounds }, undefined, 1)}\n`);
  const reference = medians[contenders[0]];
  const columns = { load: 'loadMs', again: 'secondLoadMs', first: 'firstTokenMs', prefill: 'prefillTokensPerSecond', decode: 'decodeTokensPerSecond', peak: 'peakMegabytes' };
  console.log(`${''.padEnd(20)}${Object.keys(columns).map((name) => name.padStart(12)).join('')}   first's decode, prefill as multiples`);
  for (const [contender, figures] of Object.entries(medians)) {
    const cells = Object.values(columns).map((figure) => figures[figure].toFixed(figure.endsWith('Second') ? 2 : 0).padStart(12)).join('');
    const times = ['decodeTokensPerSecond', 'prefillTokensPerSecond'].map((figure) => `${(reference[figure] / figures[figure]).toFixed(2)}×`).join(', ');
    console.log(`${contender.padEnd(20)}${cells}   ${times}`);
  }
  console.log(`milliseconds, tokens/s, MB; medians of ${values.rounds} rounds, all of them in ${values.out}`);
}
