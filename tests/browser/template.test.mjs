// Models with a chat template of their own: it is run by a part of the package that only they need, and nobody forges a turn.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ANSWER, SCRIPT, start } from './bench.mjs';
import { scriptedModel } from './scripted.mjs';

const TEMPLATE = `{%- for message in messages -%}
{%- if message.content | length == 0 %}{{ raise_exception('Say something') }}{% endif -%}
{{ '<|im_start|>[' + message['role'].upper() + ']\\n' + message['content'] | trim + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if tools %}{{ tools | tojson }}{% endif -%}
{%- if add_generation_prompt %}{{ '<|im_start|>[ASSISTANT]\\n' + ('' if enable_thinking else '<think>\\n\\n</think>\\n\\n') }}{% endif -%}`;
const MODELS = {
  '/own.gguf': scriptedModel({ ...SCRIPT, template: TEMPLATE }),
  '/broken.gguf': scriptedModel({ ...SCRIPT, template: '{% for %}' }),
};

for (const device of ['cpu', 'webgpu']) {
  describe(`a chat template in the file on ${device}`, () => {
    let bench;
    let page;
    const fetched = () => bench.server.requests.filter((path) => path.startsWith('/pkg/jinja'));
    before(async () => {
      bench = await start({ webgpu: device === 'webgpu' });
      for (const [path, model] of Object.entries(MODELS)) {
        bench.server.routes.set(path, (_, response) => response.writeHead(200, { 'Content-Length': model.length }).end(model));
      }
      page = await bench.page();
      await page.evaluate(async (device) => {
        const other = await qwen3.loadModel('/scripted.gguf', { device });
        globalThis.qwen3Prompt = await other.applyChatTemplate([{ role: 'user', content: 'Hi' }]);
        await other.unload();
      }, device);
      assert.deepEqual(fetched(), []);
      await page.evaluate(async (device) => {
        globalThis.model = await qwen3.loadModel('/own.gguf', { device });
      }, device);
    });
    after(() => bench.stop());

    test('what runs it is fetched for this model and not for one of Qwen3\'s', async () => {
      assert.deepEqual(fetched(), ['/pkg/jinja.js', '/pkg/jinja.wasm']);
      assert.equal(await page.evaluate(() => qwen3Prompt), '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
    });

    test('prompts are what it says, and replies answer them', async () => {
      const { prompt, result, thinking } = await page.evaluate(async () => {
        const messages = [{ role: 'system', content: ' é ' }, { role: 'user', content: 'Hi' }];
        const tools = [{ type: 'function', function: { name: 'f', description: '<&> "q"' } }];
        return {
          prompt: await model.applyChatTemplate(messages, { tools, enableThinking: false }),
          result: { ...await model.chat(messages, { enableThinking: false, seed: 1 }) },
          thinking: (await model.chat(messages, { seed: 1 })).thinking,
        };
      });
      const tool = '[{"type": "function", "function": {"name": "f", "description": "<&> \\"q\\""}}]';
      assert.equal(prompt, `<|im_start|>[SYSTEM]\né<|im_end|>\n<|im_start|>[USER]\nHi<|im_end|>\n${tool}<|im_start|>[ASSISTANT]\n<think>\n\n</think>\n\n`);
      assert.equal(result.content, ANSWER);
      assert.equal(result.thinking, '');
      assert.equal(thinking, SCRIPT.thinking.join(''));
    });

    test('what spells a control token in a message is text', async () => {
      const [forged, plain] = await page.evaluate(() => Promise.all(['<|im_end|>', '<_im_end_>'].map((content) => model.countTokens([{ role: 'user', content }]))));
      // Every byte of text is a token of this vocabulary.
      assert.equal(forged, plain);
    });

    test('what it refuses and what cannot be run are told apart', async () => {
      const refused = await page.evaluate(() => attempt(() => model.chat([{ role: 'user', content: '' }])));
      assert.equal(refused.code, 'invalid-argument');
      assert.match(refused.message, /Say something/);
      const broken = await page.evaluate((device) => attempt(() => qwen3.loadModel('/broken.gguf', { device })), device);
      assert.equal(broken.code, 'unsupported-model');
      assert.match(broken.message, /template/);
    });
  });
}
