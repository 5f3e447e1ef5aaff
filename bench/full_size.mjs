// Loads a model of Qwen3-0.6B's size in headless Chromium and prints load time, peak wasm memory and speed as JSON: by the
// clock, and by the processor time of the page, which other work on the machine disturbs less.
//
// usage: node bench/full_size.mjs webgpu|cpu [MODEL.gguf] [PROMPT_TOKENS] [DECODE_TOKENS]
//
// Build first (`cargo xtask build`); the model is made by `tests/fixtures/full_size.py`. On a machine without a GPU
// `webgpu` is Chromium's software adapter, which is slow: a few tokens are enough.

import { launch, open, ROOT } from '../tests/browser/chromium.mjs';
import { sendFile, serve } from '../tests/browser/server.mjs';

const [device = 'cpu', model = `${ROOT}.cache/fixtures/full-q4_0.gguf`, prompt = '16', decode = '8'] = process.argv.slice(2);

const server = await serve({ '/pkg/': `${ROOT}pkg/` });
server.routes.set('/model.gguf', (request, response) => sendFile(request, response, model));
const context = await launch({ webgpu: device === 'webgpu' });
context.setDefaultTimeout(0);
try {
  const page = await open(context, `${server.url}/blank.html`);
  page.on('console', (message) => console.error(message.text()));
  const devtools = await context.newCDPSession(page);
  await devtools.send('Performance.enable');
  await page.exposeFunction('processorSeconds', async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'ProcessTime').value;
  });
  const figures = await page.evaluate(measure, { device, prompt: Number(prompt), decode: Number(decode) });
  console.log(JSON.stringify(figures, undefined, 1));
} finally {
  await context.close();
  await server.close();
}

/** In the page, with the engine in the same thread, so that its memory can be seen. */
async function measure({ device, prompt, decode }) {
  const instantiate = WebAssembly.instantiateStreaming;
  let memory;
  WebAssembly.instantiateStreaming = async (...args) => {
    const result = await instantiate.apply(WebAssembly, args);
    memory = result.instance.exports.memory;
    return result;
  };
  // Wasm memory never shrinks: what there is after a step is the step's peak.
  const megabytes = () => Math.round(memory.buffer.byteLength / 1e5) / 10;
  const { loadModel } = await import('/pkg/index.js');
  const load = async () => {
    const start = performance.now();
    const model = await loadModel('/model.gguf', { device, worker: false, contextLength: 2048, onProgress: () => {} });
    return { model, seconds: Math.round(performance.now() - start) / 1000 };
  };
  const first = await load();
  const figures = { device, info: first.model.info, loadSeconds: first.seconds, wasmMegabytesAfterLoad: megabytes() };
  console.log(JSON.stringify(figures));
  const ids = Array.from({ length: prompt }, (_, index) => 1000 + index * 37);
  const text = await first.model.detokenize(ids);
  const options = { seed: 1, temperature: 0.7 };
  const times = [await processorSeconds()];
  const reply = await first.model.complete(text, { ...options, maxTokens: 1 });
  times.push(await processorSeconds());
  // The prompt is cached by now: only tokens are drawn.
  const longer = await first.model.complete(text, { ...options, maxTokens: decode });
  times.push(await processorSeconds());
  figures.usage = longer.usage;
  figures.timings = { prefill: reply.timings, decode: longer.timings };
  figures.processor = {
    prefillTokensPerSecond: reply.usage.promptTokens / (times[1] - times[0]),
    decodeTokensPerSecond: longer.usage.completionTokens / (times[2] - times[1]),
  };
  figures.wasmMegabytesAfterReply = megabytes();
  await first.model.unload();
  const second = await load();
  figures.secondLoadSeconds = second.seconds;
  await second.model.unload();
  return figures;
}
