// Answers of a given form: the grammars come only when a reply needs them, and then bind the answer and not the thinking.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SCRIPT, start, THINKING } from './bench.mjs';
import { scriptedModel } from './scripted.mjs';

const USER = [{ role: 'user', content: 'What is 7 × 8 + 12?' }];
const TOOL = {
  type: 'function',
  function: { name: 'look_up', parameters: { type: 'object', properties: { unit: { enum: ['m', 'km'] } }, required: ['unit'], additionalProperties: false } },
};

// Every character of a prompt is a token of this model: descriptions of tools take room.
const model = scriptedModel({ ...SCRIPT, context: 2048 });

for (const device of ['cpu', 'webgpu']) {
  describe(`answers of a form on ${device}`, () => {
    let bench;
    let page;
    before(async () => {
      bench = await start({ webgpu: device === 'webgpu' });
      bench.server.routes.set('/roomy.gguf', (_, response) => response.writeHead(200, { 'Content-Length': model.length }).end(model));
      page = await bench.page();
      await page.evaluate(async ([device, user]) => {
        globalThis.model = await qwen3.loadModel('/roomy.gguf', { device });
        globalThis.say = async (options) => {
          const events = [];
          const reply = model.chat(user, { seed: 1, ...options });
          for await (const event of reply) events.push(event);
          return { events, ...await reply };
        };
      }, [device, USER]);
    });
    after(() => bench.stop());

    test('nothing of the grammars is fetched until a reply needs them', async () => {
      const fetched = () => bench.server.requests.filter((path) => path.startsWith('/pkg/grammar'));
      await page.evaluate(() => say({ responseFormat: { type: 'text' } }));
      assert.deepEqual(fetched(), []);
      const results = await page.evaluate(async () => [await say({ responseFormat: { type: 'regex', pattern: 'yes|no' } }), await say({ responseFormat: { type: 'regex', pattern: 'maybe' } })]);
      assert.deepEqual(fetched(), ['/pkg/grammar.js', '/pkg/grammar.wasm']);
      assert.match(results[0].content, /^(yes|no)$/);
      assert.equal(results[0].thinking, THINKING);
      assert.equal(results[0].finishReason, 'stop');
      assert.equal(results[1].content, 'maybe');
    });

    test('a schema, a grammar and a demanded call are kept to', async () => {
      const schema = { type: 'object', properties: { answer: { type: 'integer', minimum: 60, maximum: 69 }, unit: { enum: ['m', 'km'] } }, required: ['answer', 'unit'], additionalProperties: false };
      const [json, lark, called] = await page.evaluate(async ([schema, tool]) => [
        await say({ responseFormat: { type: 'json_schema', schema } }),
        await say({ responseFormat: { type: 'grammar', grammar: 'start: "a" ("+" "a")~2' }, enableThinking: false }),
        await say({ tools: [tool], toolChoice: 'required', maxTokens: 200 }),
      ], [schema, TOOL]);
      const { answer, unit } = JSON.parse(json.content);
      assert.ok(Number.isInteger(answer) && answer >= 60 && answer <= 69 && ['m', 'km'].includes(unit), json.content);
      assert.equal(json.thinking, THINKING);
      assert.equal(lark.content, 'a+a+a');
      assert.ok(called.toolCalls.length >= 1);
      for (const { name, arguments: { unit } } of called.toolCalls) assert.ok(name === 'look_up' && ['m', 'km'].includes(unit));
      const deltas = called.events.filter(({ type, index }) => type === 'toolCallDelta' && index === 0).map((event) => event.arguments).join('');
      assert.deepEqual(JSON.parse(deltas), called.toolCalls[0].arguments);
    });

    test('a form that cannot be kept to is refused, and the model goes on', async () => {
      const { failed, next } = await page.evaluate(async () => ({
        failed: await attempt(() => say({ responseFormat: { type: 'json_schema', schema: { type: 'array', uniqueItems: true } } })),
        next: await say({ responseFormat: { type: 'regex', pattern: 'ok' } }),
      }));
      assert.deepEqual([failed.code, failed.typed], ['invalid-argument', true]);
      assert.match(failed.message, /uniqueItems/);
      assert.equal(next.content, 'ok');
    });
  });
}
