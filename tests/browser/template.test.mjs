// Models with a chat template of their own: it is run by a part of the package that only they need, and nobody forges a turn.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ANSWER, SCRIPT, start } from './bench.mjs';
import { ROOT } from './chromium.mjs';
import { scriptedModel } from './scripted.mjs';

const TEMPLATE = `{%- for message in messages -%}
{%- if message.content | length == 0 %}{{ raise_exception('Say something') }}{% endif -%}
{{ '<|im_start|>[' + message['role'].upper() + ']\\n' + message['content'] | trim + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if tools %}{{ tools | tojson }}{% endif -%}
{%- if add_generation_prompt %}{{ '<|im_start|>[ASSISTANT]\\n' + ('' if enable_thinking else '<think>\\n\\n</think>\\n\\n') }}{% endif -%}`;
/** The beginning of Llama 3's, which asks for the date. */
const DATED = `{%- if strftime_now is defined %}{% set date = strftime_now('%d %b %Y') %}{% else %}{% set date = '26 Jul 2024' %}{% endif -%}
{{ bos_token }}<|im_start|>Today: {{ date }}{% for message in messages %}[{{ message.role }}] {{ message.content }}{{ eos_token }}{% endfor %}`;
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
      bench = await start({ webgpu: device === 'webgpu', mounts: { '/llama/': `${ROOT}tests/fixtures/checkpoints/bands/` } });
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

    test('a folder of safetensors speaks by the template beside its weights, and from the store again', async () => {
      const serve = (name, text) => bench.server.routes.set(`/llama/${name}`, (_, response) => response.writeHead(200, { 'Content-Length': Buffer.byteLength(text) }).end(text));
      serve('tokenizer_config.json', JSON.stringify({ chat_template: DATED, bos_token: { content: '<|endoftext|>' }, eos_token: '<|im_end|>' }));
      const prompt = () => page.evaluate(async (device) => {
        const date = (now = new Date()) => `${String(now.getDate()).padStart(2, '0')} ${now.toLocaleString('en-US', { month: 'short' })} ${now.getFullYear()}`;
        const other = await qwen3.loadModel('/llama/', { device });
        const before = date();
        const prompt = await other.applyChatTemplate([{ role: 'user', content: 'Hi' }]);
        await other.unload();
        return { prompt, dates: [before, date()] };
      }, device);
      const { prompt: first, dates } = await prompt();
      const said = dates.map((date) => `<|endoftext|><|im_start|>Today: ${date}[user] Hi<|im_end|>`);
      assert.ok(said.includes(first), `${first} is none of ${said.join(' and ')}`);
      const asked = bench.server.requests.length;
      assert.match((await prompt()).prompt, /Today: .*\[user\] Hi/);
      assert.deepEqual(bench.server.requests.slice(asked).filter((path) => path.startsWith('/llama/')), []);

      // A file of its own counts more.
      await page.evaluate(() => qwen3.deleteModel(new URL('/llama/', location.href).href));
      serve('chat_template.jinja', '{% for message in messages %}{{ message.content }}!{% endfor %}');
      assert.equal((await prompt()).prompt, 'Hi!');
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
