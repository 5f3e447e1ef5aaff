// What a page downloads before the weights, as a table, against the committed budget: node xtask/sizes.mjs [--accept]
//
// A sum that is more than 5 % above xtask/sizes.json fails; `--accept` makes the sums of now the budget. Compilers of
// other versions differ by a per cent or so.

import { readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

/** How much a sum may grow before somebody has to say that it should. */
const TOLERANCE = 1.05;

const PARTS = {
  webgpu: ['index.js', 'worker.js', 'engine-gpu.js', 'engine-gpu.wasm'],
  cpu: ['index.js', 'worker.js', 'engine-cpu.js', 'engine-cpu.wasm'],
  'cpu, threads': ['index.js', 'worker.js', 'engine-cpu-threads.js', 'engine-cpu-threads.wasm'],
  grammars: ['grammar.js', 'grammar.wasm'],
  jinja: ['jinja.js', 'jinja.wasm'],
};

const BUDGET = new URL('sizes.json', import.meta.url);
const sizes = new Map();

/** Bytes of a file of pkg/, as they are and after Brotli at its best. */
function sizeOf(name) {
  if (!sizes.has(name)) {
    const bytes = readFileSync(new URL(`../pkg/${name}`, import.meta.url));
    const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
    sizes.set(name, { raw: bytes.length, brotli: brotliCompressSync(bytes, { params }).length });
  }
  return sizes.get(name);
}

const total = (names, kind) => names.reduce((sum, name) => sum + sizeOf(name)[kind], 0);
const now = Object.fromEntries(Object.entries(PARTS).map(([part, names]) => [part, { raw: total(names, 'raw'), brotli: total(names, 'brotli') }]));
const budget = JSON.parse(readFileSync(BUDGET, 'utf8'));

const line = (name, raw, brotli, rest = '') => console.log(`${name.padEnd(20)}${String(raw).padStart(10)}${String(brotli).padStart(10)}${rest}`);
line('bytes', 'raw', 'brotli-11');
for (const name of new Set(Object.values(PARTS).flat())) line(name, sizeOf(name).raw, sizeOf(name).brotli);
const grown = [];
for (const [part, { raw, brotli }] of Object.entries(now)) {
  // A part that is new has no budget until it is accepted.
  const change = brotli / (budget[part]?.brotli ?? 0);
  line(`= ${part}`, raw, brotli, `  ${((change - 1) * 100).toFixed(1)} % on the budget`);
  if (change > TOLERANCE) grown.push(part);
}
if (process.argv.includes('--accept')) {
  writeFileSync(BUDGET, `${JSON.stringify(now, undefined, 2)}\n`);
} else if (grown.length > 0) {
  console.error(`${grown.join(' and ')} grew by more than 5 %: make it smaller, or accept it with \`node xtask/sizes.mjs --accept\``);
  process.exitCode = 1;
}
