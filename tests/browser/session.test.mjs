// What a model keeps between replies: the cache of a conversation, read ahead in idle time, and replies that go on after a reload.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ANSWER, start, THINKING } from './bench.mjs';

const QUESTION = { role: 'user', content: 'What is 7 × 8 + 12?' };

describe('between replies', () => {
  let bench;
  before(async () => { bench = await start(); });
  after(() => bench.stop());

  async function page() {
    const page = await bench.page();
    await page.evaluate(async () => { globalThis.model = await qwen3.loadModel('/scripted.gguf', { device: 'cpu' }); });
    return page;
  }

  test('the next turn starts warm when there was time to read the answer again', async () => {
    const at = await page();
    const { first, second, rest } = await at.evaluate(async (question) => {
      const rest = (await model.tokenize('user\nAnd?<|im_end|>\n<|im_start|>assistant\n')).length;
      // Idle time, which any call would end: more of it until it was enough.
      for (let ms = 250; ; ms *= 2) {
        const first = await model.chat([question], { seed: 1 });
        await new Promise((resolve) => setTimeout(resolve, ms));
        const messages = [question, { role: 'assistant', content: first.content, thinking: first.thinking }, { role: 'user', content: 'And?' }];
        const second = await model.chat(messages, { seed: 1 });
        if (second.usage.promptTokens - second.usage.cachedTokens === rest || ms > 20_000) return { first, second, rest };
      }
    }, QUESTION);
    assert.equal(first.content, ANSWER);
    assert.equal(second.usage.promptTokens - second.usage.cachedTokens, rest);
    await at.close();
  });

  test('a reply goes on after a reload of the page', async () => {
    const first = await page();
    const { json, shown } = await first.evaluate(async (question) => {
      const reply = model.chat([question], { seed: 1 });
      let shown = '';
      let saving;
      reply.on('thinking', ({ text }) => {
        shown += text;
        saving ??= model.save(reply);
      });
      await new Promise((resolve) => { reply.on('thinking', resolve); });
      const json = JSON.stringify(await saving);
      reply.abort();
      await reply;
      return { json, shown };
    }, QUESTION);
    await first.close();
    assert.ok(THINKING.startsWith(shown.slice(0, 4)));
    const second = await page();
    const { told, result, ended } = await second.evaluate(async (json) => {
      const reply = model.resume(JSON.parse(json));
      const told = { thinking: '', content: '' };
      for await (const { type, text } of reply) if (type in told) told[type] += text;
      return { told, result: await reply, ended: await attempt(() => model.save(reply)) };
    }, json);
    assert.deepEqual(told, { thinking: THINKING, content: ANSWER });
    assert.deepEqual([result.thinking, result.content, result.finishReason, result.seed], [THINKING, ANSWER, 'stop', 1]);
    assert.equal(ended.code, 'invalid-argument');
    const wrong = await second.evaluate(() => attempt(() => model.resume({ version: 7 })));
    assert.equal(wrong.code, 'invalid-argument');
    await second.close();
  });
});
