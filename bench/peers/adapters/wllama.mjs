// wllama: llama.cpp, compiled to WebAssembly.

import { Wllama } from '/modules/@wllama/wllama/esm/index.min.js';

export async function load({ checkpoint, device, threads, contextLength }) {
  const log = [];
  const hear = (...words) => log.push(words.join(' '));
  const logger = { debug: hear, log: hear, warn: hear, error: hear };
  const engine = new Wllama({ default: new URL('/modules/@wllama/wllama/esm/wasm/wllama.wasm', location.href).href }, { logger });
  await engine.loadModelFromUrl(`${checkpoint}.gguf`, {
    useCache: true, n_ctx: contextLength, n_threads: threads, n_gpu_layers: device === 'webgpu' ? 999 : 0, warmup: false,
  });
  const buffers = log.filter((line) => line.includes('model buffer size'));
  if (device === 'webgpu' && !buffers.some((line) => line.includes('WebGPU'))) {
    throw new Error(`it loaded on the CPU and did not say so; its log: ${buffers.map((line) => line.trim()).join('; ')}`);
  }
  // Version 3.8.1 ends for good when tokens do not add up to UTF-8, which those of random weights do not.
  const notText = await (await fetch(new URL('not-text.json', checkpoint))).json();
  return {
    async run(prompt, tokens) {
      const start = performance.now();
      const chunks = await engine.createCompletion({
        prompt, max_tokens: tokens, temperature: 0, stream: true, cache_prompt: false, ignore_eos: true,
        logit_bias: notText.map((token) => [token, false]), timings_per_token: true,
      });
      let first, timings;
      for await (const chunk of chunks) {
        first ??= performance.now();
        timings = chunk.timings ?? timings;
      }
      return { promptTokens: timings.prompt_n, tokens: timings.predicted_n, firstTokenMs: first - start, totalMs: performance.now() - start };
    },
  };
}
