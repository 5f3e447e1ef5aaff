// 200 mixed requests over 8 conversations at once in one page: nothing crosses, every reply is what it is alone, and nothing stays behind.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './bench.mjs';
import { call, scriptedModel } from './scripted.mjs';

const REQUESTS = 200;
const CONVERSATIONS = 8;

/** Asks for a tool when told ①; otherwise the trained model of the package speaks. */
const CALLER = scriptedModel({
  thinking: ['Hm', ',', ' so'], answer: ['No', ' tool', ' here'],
  turns: [{ after: '①', answer: ['<tool_call>', call('add', { a: 1, b: 2 }), '</tool_call>'] }, { after: '②', answer: ['That', ' is', ' three'] }],
  context: 1024,
});

let bench;
let page;
before(async () => {
  bench = await start();
  bench.server.routes.set('/caller.gguf', (_, response) => response.end(CALLER));
  page = await bench.page();
});
after(() => bench.stop());

test('200 mixed requests over 8 conversations', async () => {
  const r = await page.evaluate(async ({ REQUESTS, CONVERSATIONS }) => {
    // A linear congruential generator (Numerical Recipes, §7.1): the same requests every time.
    let state = 7;
    const draw = (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor(state / 2 ** 32 * below);
    };
    const load = async () => ({
      math: await qwen3.loadModel('qwen3-tiny-math', { device: 'cpu', contextLength: 512 }),
      caller: await qwen3.loadModel('/caller.gguf', { device: 'cpu', cache: 'none' }),
    });
    const tools = [{ name: 'add', parameters: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } }, required: ['a', 'b'] }, execute: ({ a, b }) => `${a + b} ②` }];
    const schema = { type: 'object', properties: { x: { type: 'integer', minimum: 0, maximum: 99 } }, required: ['x'], additionalProperties: false };
    /** What request `n` of a conversation asks: the same whoever asks it, and whatever else is going on. */
    const kinds = {
      chat: (models, history, seed) => models.math.chat(history, { seed, maxTokens: 24 }),
      plain: (models, history, seed) => models.math.chat(history, { seed, enableThinking: false, maxTokens: 20 }),
      budget: (models, history, seed) => models.math.chat(history, { seed, thinkingBudget: 6, maxTokens: 24 }),
      schema: (models, history, seed) => models.math.chat(history, { seed, enableThinking: false, responseFormat: { type: 'json_schema', schema } }),
      tools: (models, _, seed) => models.caller.run([{ role: 'user', content: '①' }], { tools, seed }),
      abort: (models, history, seed) => models.math.chat(history, { seed }),
    };
    const requests = Array.from({ length: REQUESTS }, (_, index) => ({
      conversation: index % CONVERSATIONS, kind: Object.keys(kinds)[draw(6)], seed: draw(2 ** 31), question: `${1 + draw(20)} + ${1 + draw(20)} =`, after: draw(12),
    }));
    /** One request: its result, and whether its events are those of its result. */
    const ask = async (models, { kind, seed, question, after }) => {
      const reply = kinds[kind](models, [{ role: 'user', content: question }], seed);
      if (kind === 'abort') {
        let tokens = 0;
        for (const type of ['thinking', 'content']) reply.on(type, () => { tokens += 1; if (tokens > after) reply.abort(); });
      }
      const said = { thinking: '', content: '' };
      for await (const event of reply) if (event.type in said) said[event.type] += event.text;
      const { thinking, content, finishReason, toolCalls, steps = [] } = await reply;
      const whole = (field) => (kind === 'tools' ? steps.map((step) => step[field]).join('') : { thinking, content }[field]);
      return { kind, thinking, content, finishReason, calls: toolCalls.length, steps: steps.map(({ toolCalls: calls }) => calls.map(({ name }) => name)), own: said.thinking === whole('thinking') && said.content === whole('content') };
    };

    const models = await load();
    const together = new Array(REQUESTS);
    await Promise.all(Array.from({ length: CONVERSATIONS }, async (_, conversation) => {
      for (const [index, request] of requests.entries()) if (request.conversation === conversation) together[index] = await ask(models, request);
    }));
    // A request alone, on models that have answered nothing else, is the judge of a part of them; the others follow one another.
    const alone = [];
    for (const request of requests) alone.push(await ask(models, request));
    const fresh = await load();
    const judged = [];
    for (const [index, request] of requests.entries()) if (index % 20 === 0) judged.push([index, await ask(fresh, request)]);
    await Promise.all([...Object.values(models), ...Object.values(fresh)].map((model) => model.unload()));
    return { together, alone, judged };
  }, { REQUESTS, CONVERSATIONS });
  const kinds = new Set(r.together.map(({ kind }) => kind));
  assert.equal(kinds.size, 6);
  for (const [index, reply] of r.together.entries()) {
    const { kind, own, ...said } = reply;
    const { own: ownAlone, kind: _, ...saidAlone } = r.alone[index];
    assert.ok(own && ownAlone, `request ${index}, ${kind}, has events that are not its own`);
    // Where an abort falls is a matter of time: one text begins with the other.
    if (kind !== 'abort') assert.deepEqual(said, saidAlone, `request ${index}, ${kind}`);
    else assert.ok(begins(said, saidAlone), `request ${index}: ${JSON.stringify([said, saidAlone])}`);
    if (kind === 'schema') assert.ok(Number.isInteger(JSON.parse(said.content).x));
    if (kind === 'tools') assert.deepEqual([said.content, said.steps], ['That is three', [['add'], []]]);
  }
  for (const [index, judged] of r.judged) if (judged.kind !== 'abort') assert.deepEqual(r.together[index], judged, `request ${index} on a fresh model`);
});

test('a model that is unloaded leaves no worker and no memory behind', async () => {
  const session = await bench.context.newCDPSession(page);
  const heap = async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    return usedSize;
  };
  const cycle = () => page.evaluate(async () => {
    const model = await qwen3.loadModel('qwen3-tiny-math', { device: 'cpu', contextLength: 256 });
    await Promise.all(Array.from({ length: 4 }, (_, seed) => model.chat([{ role: 'user', content: `${seed} + 1` }], { seed, maxTokens: 6 })));
    await model.unload();
  });
  await cycle();
  const before = await heap();
  for (let round = 0; round < 4; round += 1) await cycle();
  const after = await heap();
  // The engine's memory ends with its worker.
  while (page.workers().length > 0) await page.workers()[0].waitForEvent('close');
  assert.ok(after - before < 1_000_000, `the page holds ${after - before} bytes more than before`);
});

for (const device of ['cpu', 'webgpu']) {
  test(`on ${device} requests leave neither WebAssembly memory nor buffers of the GPU behind`, async (t) => {
    const own = await start({ webgpu: device === 'webgpu' });
    t.after(() => own.stop());
    const page = await own.page();
    const devtools = await own.context.newCDPSession(page);
    /** What is held once the garbage collector has been by, which takes the buffers that nobody refers to any more. */
    const held = async () => {
      await devtools.send('HeapProfiler.collectGarbage');
      return page.evaluate(() => held());
    };
    /** The same, once it is no more than `most`: work that is just ending and the collector take their time. */
    const settled = async (most) => {
      for (let tries = 1; ; tries += 1) {
        const now = await held();
        if ((now.buffers <= most.buffers && now.bytes <= most.bytes) || tries === 50) return now;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    await page.evaluate(async (device) => {
      // The engine runs in this thread, where its memory can be seen.
      const buffers = new Map();
      const destroyed = new WeakSet();
      if (device === 'webgpu') {
        const { createBuffer } = GPUDevice.prototype;
        const { destroy } = GPUBuffer.prototype;
        GPUDevice.prototype.createBuffer = function (descriptor) {
          const buffer = createBuffer.call(this, descriptor);
          buffers.set(new WeakRef(buffer), descriptor.size);
          return buffer;
        };
        GPUBuffer.prototype.destroy = function () {
          destroyed.add(this);
          destroy.call(this);
        };
      }
      const instantiate = WebAssembly.instantiateStreaming;
      const memories = [];
      WebAssembly.instantiateStreaming = async (...args) => {
        const result = await instantiate.apply(WebAssembly, args);
        memories.push(result.instance.exports.memory);
        return result;
      };
      globalThis.held = () => {
        const live = [...buffers].filter(([reference]) => { const buffer = reference.deref(); return buffer !== undefined && !destroyed.has(buffer); });
        return { wasm: memories.map(({ buffer }) => buffer.byteLength), buffers: live.length, bytes: live.reduce((sum, [, size]) => sum + size, 0) };
      };
      globalThis.model = await qwen3.loadModel('qwen3-tiny-math', { device, contextLength: 256, worker: false });
      const kinds = [{ maxTokens: 8 }, { thinkingBudget: 3, maxTokens: 8 }, { enableThinking: false, responseFormat: { type: 'regex', pattern: '\\d\\d' } }, { abort: true }];
      globalThis.round = () => Promise.all(Array.from({ length: 2 }, async (_, conversation) => {
        for (const [seed, { abort, ...options }] of kinds.entries()) {
          const reply = model.chat([{ role: 'user', content: `${conversation} + ${seed} =` }], { seed, ...options });
          if (abort) reply.on('thinking', () => reply.abort());
          await reply;
        }
      }));
      await round();
    }, device);
    const before = await held();
    await page.evaluate(() => round());
    const after = await settled(before);
    assert.deepEqual(after.wasm, before.wasm);
    assert.ok(after.buffers <= before.buffers && after.bytes <= before.bytes, JSON.stringify([before, after]));
    if (device === 'webgpu') assert.ok(before.bytes > 1_000_000, 'the buffers are seen');
    await page.evaluate(() => model.unload());
    const { buffers, bytes } = await settled({ buffers: 0, bytes: 0 });
    assert.deepEqual([buffers, bytes], [0, 0]);
  });
}

function begins(a, b) {
  const [short, long] = [a, b].map(({ thinking, content }) => [thinking, content]).sort((x, y) => x.join('').length - y.join('').length);
  // Line breaks at the end of a thinking belong to its closing tag, which one that was cut short has not seen.
  return short[1] === '' ? long[0].startsWith(short[0].trimEnd()) : long[0] === short[0] && long[1].startsWith(short[1]);
}
