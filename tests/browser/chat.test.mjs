// Replies through the public API: events in order, thinking and content apart, stopping, skipping, queueing, several models.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ANSWER, SCRIPT, start, THINKING } from './bench.mjs';

const USER = [{ role: 'user', content: 'What is 7 × 8 + 12?' }];

for (const device of ['cpu', 'webgpu']) {
  describe(`replies on ${device}`, () => {
    let bench;
    let page;
    before(async () => {
      bench = await start({ webgpu: device === 'webgpu' });
      page = await bench.page();
      await page.evaluate(async (device) => {
        globalThis.model = await qwen3.loadModel('/scripted.gguf', { device });
      }, device);
    });
    after(() => bench.stop());

    test('the model says what it is', async () => {
      const info = await page.evaluate(() => model.info);
      assert.equal(info.device, device);
      assert.equal(info.architecture, 'qwen3');
      assert.equal(info.contextLength, 512);
      assert.equal(info.maxContextLength, 512);
      assert.equal(info.quantization, 'F32');
      assert.ok(info.weightBytes > 600_000 && info.kvCacheBytes > 0 && info.parameters > 100_000);
    });

    test('events come in order and concatenate to the result', async () => {
      const { events, result, heard } = await page.evaluate(async (messages) => {
        const reply = model.chat(messages, { seed: 1 });
        const heard = [];
        for (const type of ['thinking', 'content', 'done']) reply.on(type, (event) => heard.push(event));
        const events = [];
        for await (const event of reply) events.push(event);
        return { events, result: await reply, heard };
      }, USER);
      const text = (type) => events.filter((event) => event.type === type).map((event) => event.text).join('');
      assert.equal(text('thinking'), THINKING);
      assert.equal(text('content'), ANSWER);
      assert.equal(result.thinking, THINKING);
      assert.equal(result.content, ANSWER);
      assert.equal(result.finishReason, 'stop');
      assert.equal(result.usage.completionTokens, result.usage.thinkingTokens + result.usage.contentTokens);
      assert.equal(result.usage.thinkingTokens, SCRIPT.thinking.length);
      assert.ok(result.timings.timeToFirstTokenMs > 0 && result.timings.totalMs >= result.timings.timeToFirstTokenMs);
      assert.deepEqual(events.at(-1), { type: 'done', result });
      assert.deepEqual(heard, events.filter(({ type }) => type !== 'prefill'));
      const order = events.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1]);
      assert.deepEqual(order, ['prefill', 'thinking', 'content', 'done']);
    });

    test('a GPU that is asked tells how long it has worked, and says the same', async () => {
      const { plain, timed, clock } = await page.evaluate(async ([device, messages]) => {
        const timing = await qwen3.loadModel('/scripted.gguf', { device, gpuTimestamps: true });
        const options = { seed: 5, temperature: 2 };
        const [plain, timed] = [await model.chat(messages, options), await timing.chat(messages, options)];
        await timing.unload();
        return { plain, timed, clock: (await qwen3.diagnose()).gpuTimestamps };
      }, [device, USER]);
      for (const said of ['thinking', 'content', 'seed']) assert.deepEqual(timed[said], plain[said]);
      assert.equal(plain.timings.gpu, undefined);
      if (device === 'cpu') return assert.equal(timed.timings.gpu, undefined);
      assert.equal(clock, 'available');
      const times = timed.timings.gpu;
      assert.deepEqual(Object.keys(times).sort(), ['decodeMs', 'decodeMsPerToken', 'prefillMs']);
      // A browser may round a short time to nothing.
      for (const [name, time] of Object.entries(times)) assert.ok(Number.isFinite(time) && time >= 0, `${name}: ${time}`);
      assert.ok(Math.abs(times.decodeMsPerToken * timed.usage.completionTokens - times.decodeMs) < 1e-6 * (times.decodeMs + 1));
    });

    test('replies that run at the same time are what each is alone', async () => {
      const { alone, together, order } = await page.evaluate(async (messages) => {
        const numbers = [0, 1, 2];
        const begin = (n) => model.chat(messages, { seed: n, temperature: 2, maxTokens: 12 + 3 * n, enableThinking: n !== 1 });
        const said = ({ thinking, content, usage }) => [thinking, content, usage.completionTokens];
        const alone = [];
        for (const n of numbers) alone.push(said(await begin(n)));
        const order = [];
        const together = await Promise.all(numbers.map(async (n) => {
          const reply = begin(n);
          for await (const _ of reply) order.push(n);
          return said(await reply);
        }));
        return { alone, together, order };
      }, USER);
      assert.deepEqual(together, alone);
      const overlap = order.indexOf(2) < order.lastIndexOf(0);
      assert.equal(overlap, device === 'webgpu', `events came of replies ${order}`);
    });

    test('without thinking there is none', async () => {
      const result = await page.evaluate(async (messages) => ({ ...await model.chat(messages, { enableThinking: false }) }), USER);
      assert.equal(result.thinking, '');
      assert.equal(result.content, ANSWER);
    });
  });
}

describe('replies', () => {
  let bench;
  let page;
  before(async () => {
    bench = await start();
    page = await bench.page();
    await page.evaluate(async () => {
      globalThis.model = await qwen3.loadModel('/scripted.gguf', { device: 'cpu' });
      globalThis.endless = await qwen3.loadModel('/endless.gguf', { device: 'cpu' });
      globalThis.musing = await qwen3.loadModel('/musing.gguf', { device: 'cpu' });
    });
  });
  after(() => bench.stop());

  test('a reply is seen whole by whoever comes late', async () => {
    const seen = await page.evaluate(async (messages) => {
      const reply = model.chat(messages);
      const result = await reply;
      const iterated = [];
      for await (const event of reply) iterated.push(event.type);
      const heard = [];
      reply.on('content', (event) => heard.push(event.text));
      const dropped = () => heard.push('never');
      reply.on('content', dropped).off('content', dropped);
      await Promise.resolve();
      return { last: iterated.at(-1), heard: heard.join(''), content: result.content };
    }, USER);
    assert.deepEqual(seen, { last: 'done', heard: ANSWER, content: ANSWER });
  });

  test('a reply that fails tells its listeners, and nobody else', async () => {
    const heard = await page.evaluate(async (messages) => {
      const unhandled = [];
      addEventListener('unhandledrejection', (event) => unhandled.push(String(event.reason)));
      const heard = [];
      await new Promise((resolve) => {
        model.chat(messages, { temperature: 99 }).on('done', () => heard.push('done')).on('error', ({ error }) => {
          heard.push(error.code);
          resolve();
        });
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      return [...heard, ...unhandled];
    }, USER);
    assert.deepEqual(heard, ['invalid-argument']);
  });

  test('abort keeps what there is, and the model answers again', async () => {
    const results = await page.evaluate(async (messages) => {
      const byMethod = endless.chat(messages);
      byMethod.on('content', () => byMethod.abort());
      const first = await byMethod;
      const controller = new AbortController();
      const bySignal = endless.chat(messages, { signal: controller.signal });
      bySignal.on('content', () => controller.abort());
      const second = await bySignal;
      const before = await endless.chat(messages, { signal: AbortSignal.abort() });
      const short = await endless.chat(messages, { maxTokens: 10 });
      return [first, second, before, short].map(({ finishReason, content }) => ({ finishReason, length: content.length }));
    }, USER);
    assert.deepEqual(results.map(({ finishReason }) => finishReason), ['abort', 'abort', 'abort', 'length']);
    assert.ok(results[0].length > 0 && results[1].length > 0 && results[2].length === 0);
  });

  test('thinking can be skipped while it runs, and has a budget', async () => {
    const { skipped, budgeted } = await page.evaluate(async (messages) => {
      const reply = musing.chat(messages);
      reply.on('thinking', () => reply.skipThinking());
      const pick = ({ thinking, content, usage }) => ({ thinking, content, thinkingTokens: usage.thinkingTokens });
      return { skipped: pick(await reply), budgeted: pick(await musing.chat(messages, { thinkingBudget: 5 })) };
    }, USER);
    assert.equal(skipped.content, 'Done');
    assert.ok(skipped.thinkingTokens < 2000, `${skipped.thinkingTokens} tokens of thinking`);
    assert.match(budgeted.thinking, /^ round and( round and| and| round)+$/);
    assert.deepEqual([budgeted.content, budgeted.thinkingTokens], ['Done', 5]);
  });

  test('calls that overlap are queued, each with its own events', async () => {
    const results = await page.evaluate(async (messages) => {
      const [a, b, ids, prompt] = await Promise.all([
        model.chat(messages), model.chat(messages, { enableThinking: false }), model.tokenize('ab'), model.applyChatTemplate(messages),
      ]);
      return [a.thinking + a.content, b.thinking + b.content, await model.detokenize(ids), prompt];
    }, USER);
    assert.deepEqual(results, [THINKING + ANSWER, ANSWER, 'ab', `<|im_start|>user\n${USER[0].content}<|im_end|>\n<|im_start|>assistant\n`]);
  });

  test('several models answer at the same time, and one can be unloaded', async () => {
    const texts = await page.evaluate(async (messages) => {
      const [first, second] = await Promise.all([qwen3.loadModel('/scripted.gguf', { device: 'cpu' }), qwen3.loadModel('/scripted.gguf', { device: 'cpu' })]);
      const both = await Promise.all([first.chat(messages), second.chat(messages)]);
      await first.unload();
      await first.unload();
      const gone = await attempt(() => first.chat(messages));
      const after = await second.chat(messages);
      await second[Symbol.asyncDispose]();
      return { both: both.map(({ content }) => content), gone: gone.code, after: after.content };
    }, USER);
    assert.deepEqual(texts, { both: [ANSWER, ANSWER], gone: 'invalid-argument', after: ANSWER });
  });

  test('raw completion goes on from a text', async () => {
    const result = await page.evaluate(async () => ({ ...await model.complete('anything\n\n') }));
    assert.equal(result.content, ANSWER);
  });

  test('a longer history takes the common prefix from the cache', async () => {
    const usage = await page.evaluate(async (messages) => {
      const first = await model.chat(messages, { enableThinking: false });
      const second = await model.chat([...messages, { role: 'assistant', content: first.content }, { role: 'user', content: 'And?' }], { enableThinking: false });
      return second.usage;
    }, USER);
    assert.ok(usage.cachedTokens > 20 && usage.cachedTokens < usage.promptTokens, JSON.stringify(usage));
  });

  test('a prompt that does not fit, and options that are wrong, are told', async () => {
    const failures = await page.evaluate(async (messages) => [
      await attempt(() => model.chat([{ role: 'user', content: 'word '.repeat(600) }])),
      await attempt(() => model.chat(messages, { topP: 7 })),
      await attempt(() => model.chat(messages, { tempreature: 1 })),
      await attempt(() => model.chat('hello')),
      await attempt(() => model.chat(messages, { stop: () => true })),
      await attempt(() => model.logits([-1])),
      await attempt(() => model.logits([1e6])),
    ], USER);
    assert.deepEqual(failures.map(({ code }) => code), ['context-overflow', ...Array(6).fill('invalid-argument')]);
    assert.ok(failures.every(({ typed, message }) => typed && message.length > 10), JSON.stringify(failures));
    assert.match(failures[1].message, /topP.*0.*1.*7/);
    assert.match(failures[2].message, /tempreature/);
    assert.equal(await page.evaluate(async (messages) => (await model.chat(messages)).content, USER), ANSWER);
  });

  test('the engine runs in the page\'s own thread too', async () => {
    const content = await page.evaluate(async (messages) => {
      const inThread = await qwen3.loadModel('/scripted.gguf', { device: 'cpu', worker: false });
      const reply = await inThread.chat(messages);
      await inThread.unload();
      return reply.thinking + reply.content;
    }, USER);
    assert.equal(content, THINKING + ANSWER);
  });

  test('nothing of all this made the browser complain', () => {
    assert.deepEqual(page.complaints, []);
  });
});
