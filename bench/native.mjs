// Measures the native binary and what its device can do at most; prints a table, writes all as JSON.
//
// usage: node bench/native.mjs [--checkpoints FOLDER] [--contexts 128,1024,4096,16384] [--sequences 1,4,16] [--limit 120] [--out FILE]
//
// `cargo xtask bench` prepares what it needs. The full-size checkpoint runs on the GPU if there is a real one, else on the CPU;
// the small one on whatever adapter there is, a software one too.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { keep, number, printTable } from './table.mjs';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

const { values } = parseArgs({
  options: {
    checkpoints: { type: 'string', default: `${ROOT}.cache/bench/checkpoints` },
    contexts: { type: 'string', default: '128,1024,4096,16384' },
    sequences: { type: 'string', default: '1,4,16' },
    limit: { type: 'string', default: '120' },
    out: { type: 'string', default: `${ROOT}target/bench-native.json` },
  },
});

/** The lines of one run; the small checkpoint knows no positions beyond 4,096. */
function bench(model, contexts, device) {
  const options = ['--prompt-tokens', contexts.join(), '--sequences', values.sequences, '--limit', values.limit, '--decode-tokens', '32', ...device];
  const { status, signal, stdout, error } = spawnSync(`${ROOT}target/release/qwen3`, ['bench', '--json', '--model', `${values.checkpoints}/${model}.gguf`, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8',
  });
  const lines = (stdout ?? '').trim().split('\n').filter((line) => line !== '').map((line) => ({ checkpoint: model, ...JSON.parse(line) }));
  if (status !== 0) lines.push({ checkpoint: model, leftOut: `qwen3 bench ended with ${error ?? signal ?? status}` });
  return lines;
}

const contexts = values.contexts.split(',').map(Number);
const lines = [...bench('full', contexts, []), ...bench('small', contexts.filter((context) => context < 4096), ['--device', 'gpu'])];
// What the checks cost that a browser insists on, where there is a GPU to tell.
if (lines[0]?.device === 'webgpu') lines.push(...bench('full', contexts, ['--unchecked']));
keep(values.out, { lines });

const what = ({ checkpoint, adapter, device, unchecked }) => `${checkpoint}, ${adapter?.split(/ ?[(,]/)[0] ?? device ?? 'no device'}${unchecked ? ', unchecked' : ''}`;
const measured = lines.filter(({ leftOut }) => leftOut === undefined);
printTable(['checkpoint, device', 'context', 'sequences', 'prefill/s', 'decode/s', 'dispatches', 'as many empty', 'read a step', 'of copy rate'], measured.map((line) => [
  what(line), line.promptTokens, line.sequences, number(line.prefillTokensPerSecond), number(line.decodeTokensPerSecond),
  line.dispatchesPerToken, `${number(line.emptyDispatchesMs)} ms`, `${number(line.bytesPerStep / 1e6)} MB`,
  `${number(line.bandwidthPercent)} % of ${number(line.copyBytesPerSecond / 1e9)} GB/s`,
]));
for (const line of lines.filter(({ leftOut }) => leftOut !== undefined)) {
  console.log(`${what(line)}${line.promptTokens === undefined ? '' : `, context ${line.promptTokens}, sequences ${line.sequences}`}: left out, ${line.leftOut}`);
}
console.log(`tokens a second, of all sequences together; all of it in ${values.out}`);
process.exitCode = measured.length > 0 ? 0 : 1;
