// This package.

import { loadModel } from '/pkg/index.js';

export async function load({ checkpoint, device, threads, contextLength }) {
  const model = await loadModel(`${checkpoint}.gguf`, { device, threads, contextLength });
  return {
    async run(prompt, tokens) {
      const start = performance.now();
      // Drawn, not greedy: random weights go round in circles then, which this engine would guess.
      const { usage, timings } = await model.complete(prompt, { maxTokens: tokens, temperature: 0.7, topK: 20, topP: 0.8, seed: 1 });
      return { promptTokens: usage.promptTokens, tokens: usage.completionTokens, firstTokenMs: timings.timeToFirstTokenMs, totalMs: performance.now() - start };
    },
  };
}
