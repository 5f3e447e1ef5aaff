// web-llm: MLC, kernels compiled ahead by TVM. Its libraries are of one model's shape each and come from its own host, like the
// weights: Qwen3-0.6B itself, whatever checkpoint the others are given.

import { CreateMLCEngine } from '/modules/@mlc-ai/web-llm/lib/index.js';

export async function load({ contextLength }) {
  const adapter = await navigator.gpu?.requestAdapter();
  const precision = adapter?.features.has('shader-f16') ? 'q4f16_1' : 'q4f32_1';
  const engine = await CreateMLCEngine(`Qwen3-0.6B-${precision}-MLC`, {}, { context_window_size: contextLength });
  return {
    async run(prompt, tokens) {
      await engine.resetChat();
      const start = performance.now();
      const chunks = await engine.completions.create({
        prompt, max_tokens: tokens, temperature: 0, stream: true, ignore_eos: true, stream_options: { include_usage: true },
      });
      let first, usage;
      for await (const chunk of chunks) {
        first ??= performance.now();
        usage = chunk.usage ?? usage;
      }
      return { promptTokens: usage.prompt_tokens, tokens: usage.completion_tokens, firstTokenMs: first - start, totalMs: performance.now() - start };
    },
  };
}
