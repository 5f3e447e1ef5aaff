// The examples do what they show: on the trained model of the package where it knows the matter, else on one that says what is wanted.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'vite';
import { start } from './bench.mjs';
import { ROOT } from './chromium.mjs';
import { call, scriptedModel } from './scripted.mjs';

/** Tracks the order when asked with ①, tells of the cup for ②, files a complaint for ③, and says what the shop answered. */
const CLERK = scriptedModel({
  thinking: ['Let', ' me', ' see'],
  answer: ['Hello'],
  turns: [
    { after: '①', answer: ['<tool_call>', call('order_tracking', { order_id: 'A7' }), '</tool_call>'] },
    { after: '②', answer: ['<tool_call>', call('product_info', { product: 'cup' }), '</tool_call>'] },
    { after: '③', answer: ['<tool_call>', call('complaint_handling', { order_id: 'A7', complaint: 'late' }), '</tool_call>'] },
    { after: '⑥', answer: ['It', ' is', ' filed'] },
    { after: '④', answer: ['It', ' is', ' on', ' its', ' way'] }, { after: '⑤', answer: ['Nine', ' each'] },
  ],
  context: 4096,
});
const SUMMARY = scriptedModel({ thinking: ['Hm'], answer: ['All', ' is', ' blue'], context: 512 });

const folder = mkdtempSync(join(tmpdir(), 'qwen3-web-examples-'));
let bench;
let page;
before(async () => {
  const common = { root: `${ROOT}examples`, configFile: false, logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"' } };
  // One and the same package for the page of the test and for the examples.
  const rollupOptions = { external: ['/pkg/index.js'] };
  const resolve = { alias: { 'qwen3-web': '/pkg/index.js' } };
  const names = ['maths-tutor', 'customer-service', 'extract-json', 'summarise', 'conversation', 'server'];
  await build({ ...common, resolve, build: { outDir: `${folder}/modules`, rollupOptions, lib: { entry: Object.fromEntries(names.map((name) => [name, `${name}.ts`])), formats: ['es'] } } });
  await build({ ...common, resolve, base: '/page/', build: { outDir: `${folder}/page`, rollupOptions } });
  bench = await start({ mounts: { '/modules/': `${folder}/modules/`, '/page/': `${folder}/page/` } });
  bench.server.routes.set('/clerk.gguf', (_, response) => response.end(CLERK));
  bench.server.routes.set('/summary.gguf', (_, response) => response.end(SUMMARY));
  page = await bench.page();
  await page.evaluate(async (names) => {
    globalThis.examples = Object.assign({}, ...await Promise.all(names.map((name) => import(`/modules/${name}.js`))));
    globalThis.load = (source, contextLength = 512) => qwen3.loadModel(source, { device: 'cpu', contextLength });
  }, names);
});
after(async () => {
  await bench?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('the maths tutor solves an equation, working and answer apart', async () => {
  const { result, shown } = await page.evaluate(async () => {
    const shown = { thinking: '', answer: '' };
    const model = await load('qwen3-tiny-math');
    const result = await examples.tutor(model, 'Solve x^2 - 5x + 6 = 0', (part, text) => { shown[part] += text; });
    await model.unload();
    return { result, shown };
  });
  assert.deepEqual(shown, result);
  assert.match(result.answer, /3.*2|2.*3/);
  assert.ok(result.thinking.length > 20);
});

test('the assistant tracks an order, knows a product, files a complaint', async () => {
  const r = await page.evaluate(async () => {
    const shop = { orders: { A7: { status: 'on its way ④', due: 'Friday' } }, products: { cup: { price: '9 ⑤', stock: 3 } }, complaints: { push: (complaint) => { filed.push(complaint); return '1 ⑥'; } } };
    const filed = [];
    const model = await load('/clerk.gguf', 2048);
    const answers = [];
    for (const question of ['Where is my order? ①', 'What is a cup? ②', 'It is late! ③']) answers.push(await examples.serveCustomer(model, shop, question));
    await model.unload();
    return { answers: answers.map(({ content, steps }) => [content, steps[0].toolCalls.map(({ name }) => name)]), filed };
  });
  assert.deepEqual(r.answers, [['It is on its way', ['order_tracking']], ['Nine each', ['product_info']], ['It is filed', ['complaint_handling']]]);
  assert.deepEqual(r.filed, [{ orderId: 'A7', text: 'late' }]);
});

test('a contact is read as an object of the schema', async () => {
  const contact = await page.evaluate(async () => {
    const model = await load('qwen3-tiny-math', 1024);
    const contact = await examples.extractContact(model, 'Please call me back today. Ada, Turin').catch((error) => error.message);
    await model.unload();
    return contact;
  });
  // The small model may run on within a string; what it says fits, or is said to be cut off.
  if (typeof contact === 'string') assert.match(contact, /^the answer was cut off: \{/);
  else assert.deepEqual(Object.entries(contact).map(([name, value]) => [name, value === null ? 'null' : typeof value]).filter(([name]) => name !== 'city'), [['name', 'string'], ['urgent', 'boolean']]);
});

test('a text longer than the context is summed up in parts', async () => {
  const { summary, parts } = await page.evaluate(async () => {
    const model = await load('/summary.gguf');
    const parts = [];
    const summary = await examples.summarise(model, 'The sky is blue. Grass is green. '.repeat(40), (done, of) => parts.push([done, of]));
    await model.unload();
    return { summary, parts };
  });
  assert.equal(summary, 'All is blue');
  assert.ok(parts[0][1] >= 4, 'in several parts');
  assert.deepEqual(parts.at(-1), [1, 1], 'and those in one');
});

test('a conversation remembers what was said', async () => {
  const r = await page.evaluate(async () => {
    const model = await load('qwen3-tiny-math', 1024);
    const conversation = new examples.Conversation(model, 'You are a calculator.', { enableThinking: false, maxTokens: 20 });
    const heard = [];
    const first = await conversation.say('2 + 3 =', (text) => heard.push(text));
    const second = await conversation.say('10 - 4 =');
    await model.unload();
    return { roles: conversation.messages.map(({ role }) => role), first: first.content === heard.join(''), cached: second.usage.cachedTokens, prompt: first.usage.promptTokens };
  });
  assert.deepEqual(r.roles, ['system', 'user', 'assistant', 'user', 'assistant']);
  assert.equal(r.first, true);
  assert.ok(r.cached > r.prompt / 2, 'the second turn goes on from the cache');
});

test('the same code asks the model here and one behind a server', async () => {
  const { here, there } = await page.evaluate(async () => {
    const local = await examples.openModel();
    const serve = qwen3.openAIFetch(local);
    const connect = qwen3.connect({ baseURL: 'http://elsewhere/v1', model: 'served', fetch: serve });
    const answers = { here: await examples.ask(local, '6 * 7 ='), there: await examples.ask(connect, '6 * 7 =') };
    const remote = await examples.openModel({ baseURL: 'http://elsewhere/v1', model: 'served' });
    if (remote.info.name !== 'served') throw new Error('no such model');
    await local.unload();
    return answers;
  });
  assert.equal(there, here);
  assert.match(here, /42/);
});

test('the page of the examples runs them, the React hook too', async () => {
  const own = await bench.context.newPage();
  const complaints = [];
  own.on('pageerror', (error) => complaints.push(String(error)));
  await own.goto(`${bench.server.url}/page/`);
  await own.selectOption('#example', 'Here or on a server');
  await own.click('#run');
  await own.waitForFunction(() => document.querySelector('#output').textContent.includes('42'));
  await own.selectOption('#example', 'React hook');
  await own.click('#run');
  await own.click('#send');
  await own.waitForFunction(() => document.querySelector('#chat .assistant')?.textContent.includes('13') && document.querySelector('#send').textContent.startsWith('Ask'));
  assert.match(await own.textContent('#chat .user'), /5 \+ 8/);
  assert.deepEqual(complaints, []);
  await own.close();
});
