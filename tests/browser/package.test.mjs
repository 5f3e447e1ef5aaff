// What `npm pack` gives works for others: in a webpack app, in a Vite app, in a plain page, for TypeScript, and on import in Node.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, open, ROOT } from './chromium.mjs';
import { serve } from './server.mjs';

const MAIN = `
import { loadModel } from 'qwen3-web';
globalThis.replied = (async () => {
  const model = await loadModel('qwen3-tiny-math', { device: 'cpu' });
  const { content, thinking, usage } = await model.chat([{ role: 'user', content: '1 + 1' }], { maxTokens: 5 });
  const { info } = model;
  await model.unload();
  return { info, usage, text: typeof content + typeof thinking };
})();
`;
/** A page of its own for each app; Vite takes its entry from it, the others are told. */
const html = (script) => `<!doctype html><html lang="en"><title>app</title><link rel="icon" href="data:,">${script}</html>`;

const folder = mkdtempSync(join(tmpdir(), 'qwen3-web-app-'));
const bin = (name) => join(ROOT, 'node_modules', '.bin', name);
const run = (command, args, cwd) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

let context;
let server;
let packed;

/** An app that has the package installed as npm would put it there. */
function app(name, files) {
  const place = join(folder, name);
  mkdirSync(join(place, 'node_modules'), { recursive: true });
  cpSync(join(folder, 'package'), join(place, 'node_modules', 'qwen3-web'), { recursive: true });
  for (const [path, text] of Object.entries({ 'package.json': '{"type":"module","private":true}', ...files })) writeFileSync(join(place, path), text);
  return place;
}

before(async () => {
  [packed] = JSON.parse(run('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', folder], join(ROOT, 'pkg')));
  run('tar', ['-xzf', packed.filename], folder);
  context = await launch();
  server = await serve({ '/apps/': `${folder}/` });
});
after(async () => {
  await context?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function replies(path) {
  const page = await open(context, `${server.url}/apps/${path}`);
  const result = await page.evaluate(() => globalThis.replied);
  assert.equal(result.info.name, 'qwen3-tiny-math:q8_0');
  assert.equal(result.info.device, 'cpu');
  assert.equal(result.text, 'stringstring');
  assert.ok(result.usage.completionTokens >= 1 && result.usage.completionTokens <= 5);
  assert.deepEqual(page.complaints, []);
  await page.close();
}

test('the tarball holds the package and nothing else', () => {
  const names = packed.files.map(({ path }) => path).filter((path) => !path.endsWith('.d.ts')).sort();
  const [maps, paths] = [true, false].map((isMap) => names.filter((path) => path.endsWith('.map') === isMap));
  assert.deepEqual(maps, ['ai-sdk', 'host', 'index', 'openai', 'remote', 'tool-arguments', 'worker'].map((name) => `${name}.js.map`));
  assert.deepEqual(paths, [
    'README.md', 'ai-sdk.js', 'engine-cpu-threads.js', 'engine-cpu-threads.wasm', 'engine-cpu.js', 'engine-cpu.wasm', 'engine-gpu.js', 'engine-gpu.wasm', 'grammar.js', 'grammar.wasm', 'host.js', 'index.js', 'jinja.js', 'jinja.wasm', 'openai.js', 'package.json', 'qwen3-tiny-math.gguf', 'remote.js', 'tool-arguments.js', 'worker.js',
  ]);
});

test('a plain page with a module script', async () => {
  app('plain', { 'main.js': MAIN.replace("'qwen3-web'", "'./node_modules/qwen3-web/index.js'"), 'index.html': html('<script type="module" src="main.js"></script>') });
  await replies('plain/');
});

test('a webpack app without any configuration', async () => {
  const place = app('webpack', { 'main.js': MAIN, 'index.html': html('<script defer src="dist/main.js"></script>') });
  run(bin('webpack'), ['--mode', 'production', '--entry', './main.js'], place);
  await replies('webpack/');
});

test('a Vite app without any configuration but its base path', async () => {
  const place = app('vite', { 'main.js': MAIN, 'index.html': html('<script type="module" src="/main.js"></script>') });
  run(bin('vite'), ['build', '--base', './', '--logLevel', 'error'], place);
  await replies('vite/dist/');
});

test('TypeScript knows the types of events, options and errors', () => {
  const place = app('types', {
    'main.ts': `
import { loadModel, Qwen3Error, type ChatResult, type Progress } from 'qwen3-web';
export async function ask(): Promise<ChatResult> {
  await using model = await loadModel('qwen3-tiny-math', { device: 'auto', onProgress: (p: Progress) => p.loadedBytes });
  const reply = model.chat([{ role: 'user', content: 'hi' }], { thinkingBudget: 5 });
  reply.on('thinking', ({ text }) => text.length).on('done', ({ result }) => result.usage.promptTokens);
  for await (const event of reply) if (event.type === 'content') event.text.trim();
  // @ts-expect-error -- there is no such option
  model.chat([], { tempreature: 1 });
  return reply.catch((error: unknown) => { throw error instanceof Qwen3Error ? error.hint : error; });
}
`,
    'tsconfig.json': JSON.stringify({ compilerOptions: { strict: true, noEmit: true, target: 'es2022', module: 'esnext', moduleResolution: 'bundler', lib: ['esnext', 'dom', 'dom.iterable'], types: [] }, files: ['main.ts'] }),
  });
  run(bin('tsc'), ['-p', '.'], place);
});

test('an import in Node does nothing, and loading there is refused', () => {
  const place = app('node', { 'main.js': `
    const before = Object.keys(globalThis).length;
    const { loadModel, Qwen3Error, catalogue } = await import('qwen3-web');
    if (Object.keys(globalThis).length !== before) throw new Error('the import left something behind');
    const error = await loadModel(catalogue[0].name).catch((error) => error);
    console.log(error instanceof Qwen3Error, error.code);
  ` });
  assert.equal(run('node', ['main.js'], place).trim(), 'true invalid-argument');
});
