// In the page: each library behind the same two calls, through its public API, timed around it.
//
// `load(settings)` makes a model of the GGUF at `settings.model`; what it gives has `run(prompt, tokens)`, a greedy
// continuation of exactly that many tokens: `{ promptTokens, tokens, firstTokenMs, totalMs }`, counted by the library.

/** Names, and how each is loaded. */
export const CONTENDERS = {
  'qwen3-web cpu': (settings) => qwen3(settings, 'cpu'),
  'qwen3-web webgpu': (settings) => qwen3(settings, 'webgpu'),
  'wllama 1 thread': (settings) => wllama(settings, 1),
  'wllama 2 threads': (settings) => wllama(settings, 2),
};

const CONTEXT = 1024;

async function qwen3({ model: url }, device) {
  const { loadModel } = await import('/pkg/index.js');
  const model = await loadModel(url, { device, contextLength: CONTEXT });
  return {
    async run(prompt, tokens) {
      const start = performance.now();
      const reply = model.complete(prompt, { maxTokens: tokens, temperature: 0 });
      let first;
      for await (const event of reply) if (event.type === 'content') first ??= performance.now();
      const end = performance.now();
      const { usage } = await reply;
      return { promptTokens: usage.promptTokens, tokens: usage.completionTokens, firstTokenMs: first - start, totalMs: end - start };
    },
  };
}

async function wllama({ model: url, notText }, threads) {
  const { Wllama } = await import('/modules/@wllama/wllama/esm/index.min.js');
  const engine = new Wllama({ default: '/modules/@wllama/wllama/esm/wasm/wllama.wasm' });
  await engine.loadModelFromUrl(new URL(url, location.href).href, { useCache: true, n_ctx: CONTEXT, n_threads: threads, n_gpu_layers: 0, warmup: false });
  // Version 3.8.1 ends for good when tokens do not add up to UTF-8, which those of random weights do not.
  const bias = notText.map((token) => [token, false]);
  return {
    async run(prompt, tokens) {
      const start = performance.now();
      const chunks = await engine.createCompletion({
        prompt, max_tokens: tokens, temperature: 0, stream: true, cache_prompt: false, ignore_eos: true, logit_bias: bias, timings_per_token: true,
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

const WORDS = 'there big two country times school me then hard his keep earth of light help around so set they are with sea in any began hear right hand best city'.split(' ');

/** A text of about so many tokens: most of these words are one. */
export const promptOf = (words) => Array.from({ length: words }, (_, index) => WORDS[(index * 7 + Math.floor(index / 31)) % WORDS.length]).join(' ');

/** Loads a contender and measures one run after a short one; `settings`: `{ contender, model, notText, promptTokens, tokens }`. */
export async function measure(settings) {
  const start = performance.now();
  const model = await CONTENDERS[settings.contender](settings);
  const loadMs = performance.now() - start;
  await model.run('Once upon a time', 2);
  const { promptTokens, tokens, firstTokenMs, totalMs } = await model.run(promptOf(settings.promptTokens), settings.tokens);
  return {
    loadMs, firstTokenMs, promptTokens, tokens,
    prefillTokensPerSecond: (promptTokens / firstTokenMs) * 1e3,
    decodeTokensPerSecond: ((tokens - 1) / (totalMs - firstTokenMs)) * 1e3,
  };
}

/** Loads a contender again, in a page of the same site: how long it takes. */
export async function loadAgain(settings) {
  const start = performance.now();
  await CONTENDERS[settings.contender](settings);
  return performance.now() - start;
}
