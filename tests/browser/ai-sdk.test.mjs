// The Vercel AI SDK on a model in the page: reasoning parts, objects of a schema, tools with several steps.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ANSWER, start, THINKING, WEATHER } from './bench.mjs';
import { bundleClients } from './clients/bundle.mjs';

let bench;
let page;
before(async () => {
  bench = await start({ mounts: { '/clients/': await bundleClients() } });
  bench.server.routes.set('/weather.gguf', (_, response) => response.end(WEATHER));
  page = await bench.page();
  await page.evaluate(async () => {
    const { ai, z } = await import('/clients/clients.js');
    const { qwen3: wrap } = await import('/pkg/ai-sdk.js');
    z.config({ jitless: true });
    const load = async (path) => wrap(await qwen3.loadModel(path, { device: 'cpu', cache: 'none' }));
    Object.assign(globalThis, { ai, z, wrap, scripted: await load('/scripted.gguf'), weather: await load('/weather.gguf'), endless: await load('/endless.gguf') });
  });
});
after(() => bench.stop());

test('streamText tells thinking as reasoning parts of its own', async () => {
  const r = await page.evaluate(async () => {
    const result = ai.streamText({ model: scripted, system: 'Be brief.', prompt: 'What is 7 × 8 + 12?', seed: 1 });
    const parts = [];
    for await (const part of result.fullStream) parts.push({ type: part.type, text: part.text });
    return { parts, text: await result.text, reasoning: await result.reasoningText, usage: await result.usage, reason: await result.finishReason };
  });
  const order = r.parts.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1]);
  assert.deepEqual(order, ['start', 'start-step', 'reasoning-start', 'reasoning-delta', 'reasoning-end', 'text-start', 'text-delta', 'text-end', 'finish-step', 'finish']);
  assert.deepEqual([r.text, r.reasoning, r.reason], [ANSWER, THINKING, 'stop']);
  assert.equal(r.usage.totalTokens, r.usage.inputTokens + r.usage.outputTokens);
  assert.equal(r.usage.outputTokenDetails.reasoningTokens, 6);
});

test('generateText takes options of the call, of the model, and Qwen3\'s own', async () => {
  const texts = await page.evaluate(async () => {
    const own = await ai.generateText({ model: scripted, prompt: 'hi', providerOptions: { qwen3: { enableThinking: false } } });
    const off = await ai.generateText({ model: wrap(await qwen3.loadModel('/scripted.gguf', { device: 'cpu' }), { enableThinking: false }), prompt: 'hi', stopSequences: ['68'] });
    const short = await ai.generateText({ model: scripted, messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: [{ type: 'reasoning', text: 'Hm' }, { type: 'text', text: 'Hello' }] }, { role: 'user', content: 'And?' }], maxOutputTokens: 3 });
    return [[own.text, own.reasoningText], [off.text, off.finishReason], [short.text, short.finishReason]];
  });
  assert.deepEqual(texts, [[ANSWER, undefined], [ANSWER.slice(0, ANSWER.indexOf('68')), 'stop'], ['', 'length']]);
});

test('generateObject gives an object of the schema', async () => {
  const { object, streamed } = await page.evaluate(async () => {
    const schema = z.object({ mood: z.enum(['good', 'bad']), stars: z.number().int().min(1).max(5) });
    const { object } = await ai.generateObject({ model: scripted, schema, prompt: 'How was it?' });
    const stream = ai.streamObject({ model: scripted, schema, prompt: 'How was it?' });
    let streamed;
    for await (const part of stream.partialObjectStream) streamed = part;
    return { object, streamed };
  });
  for (const { mood, stars, ...rest } of [object, streamed]) {
    assert.ok(['good', 'bad'].includes(mood) && Number.isInteger(stars) && stars >= 1 && stars <= 5, JSON.stringify({ mood, stars }));
    assert.deepEqual(rest, {});
  }
});

test('tools are called over several steps', async () => {
  for (const how of ['generateText', 'streamText']) {
    const { text, cities, steps } = await page.evaluate(async (how) => {
      const cities = [];
      const result = await ai[how]({
        model: weather, prompt: 'What is the weather?', stopWhen: ai.stepCountIs(4),
        tools: { weather: ai.tool({ description: 'The weather now', inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => { cities.push(city); return { city, sky: '①' }; } }) },
      });
      return { text: await result.text, cities, steps: (await result.steps).map(({ finishReason, reasoningText }) => [finishReason, reasoningText]) };
    }, how);
    assert.equal(text, 'Sunny in both');
    assert.deepEqual(cities, ['Paris', 'Rome']);
    assert.deepEqual(steps, [['tool-calls', 'Hm, tools'], ['stop', 'Hm, tools']]);
  }
});

test('abort and errors reach the caller', async () => {
  const r = await page.evaluate(async () => {
    const controller = new AbortController();
    const aborted = attempt(() => ai.generateText({ model: endless, prompt: 'hi', abortSignal: controller.signal }));
    setTimeout(() => controller.abort(), 50);
    const errors = [];
    const stream = ai.streamText({ model: scripted, prompt: 'hi', topP: 7, onError: ({ error }) => errors.push(error.code) });
    await stream.consumeStream();
    const image = await attempt(() => ai.generateText({ model: scripted, messages: [{ role: 'user', content: [{ type: 'image', image: new Uint8Array([137, 80, 78, 71]) }] }] }));
    return { aborted: await aborted, errors, image };
  });
  assert.equal(r.aborted.name, 'AbortError');
  assert.deepEqual(r.errors, ['invalid-argument']);
  assert.equal(r.image.code, 'invalid-argument');
});
