// Who is measured beside whom, on what, and what the figures are: the same for the command and for the page.

/** The contenders, by the names in which they are listed: an adapter's file and what it is told. */
export const CONTENDERS = {
  'qwen3-web 1 thread': { adapter: 'qwen3-web', device: 'cpu', threads: 1 },
  'qwen3-web 2 threads': { adapter: 'qwen3-web', device: 'cpu', threads: 2 },
  'qwen3-web webgpu': { adapter: 'qwen3-web', device: 'webgpu' },
  'transformers.js wasm': { adapter: 'transformers', device: 'wasm', threads: 2 },
  'transformers.js webgpu': { adapter: 'transformers', device: 'webgpu' },
  'wllama 1 thread': { adapter: 'wllama', device: 'cpu', threads: 1 },
  'wllama 2 threads': { adapter: 'wllama', device: 'cpu', threads: 2 },
  'wllama webgpu': { adapter: 'wllama', device: 'webgpu', threads: 1 },
  'web-llm webgpu': { adapter: 'web-llm', device: 'webgpu' },
};

/**
 * What is measured, the first contender of each being the one that the others are compared with. On a software adapter, or
 * without any, the GPU's part is the small checkpoint and few tokens: there, others take ten seconds for one.
 */
export const suites = (adapter) => [
  { model: 'full', promptTokens: 128, tokens: 32, contenders: ['qwen3-web 1 thread', 'qwen3-web 2 threads', 'wllama 1 thread', 'wllama 2 threads', 'transformers.js wasm'] },
  {
    ...(adapter?.software === false ? { model: 'full', promptTokens: 512, tokens: 128 } : { model: 'small', promptTokens: 16, tokens: 6 }),
    contenders: ['qwen3-web webgpu', 'transformers.js webgpu', 'wllama webgpu', 'web-llm webgpu'],
  },
];

/** In a page: what it runs in, and the adapter that all contenders will be given, if any. */
export async function environment() {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return { browser: navigator.userAgent };
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const software = isFallbackAdapter === true || architecture === 'swiftshader';
  return { browser: navigator.userAgent, adapter: { vendor, architecture, description, software, shaderF16: adapter.features.has('shader-f16') } };
}

/** The figures: where they stand, what they are called, their unit and how much of it one is, and whether more is better. */
export const FIGURES = [
  { name: 'decodeTokensPerSecond', title: 'Decode', unit: 'tokens/s', one: 1, more: true },
  { name: 'prefillTokensPerSecond', title: 'Prefill', unit: 'tokens/s', one: 1, more: true },
  { name: 'firstTokenMs', title: 'First token', unit: 's', one: 1e3 },
  { name: 'loadMs', title: 'Load', unit: 's', one: 1e3 },
  { name: 'secondLoadMs', title: 'Second load', unit: 's', one: 1e3 },
  { name: 'peakBytes', title: 'Peak memory', unit: 'MB', one: 1e6 },
  { name: 'libraryBytes', title: 'Library', unit: 'MB', one: 1e6 },
  { name: 'libraryBrotliBytes', title: 'Library, Brotli', unit: 'MB', one: 1e6 },
];

/** The middle one, the mean of both of an even number; nothing for none. */
export function median(numbers) {
  const sorted = numbers.filter(Number.isFinite).sort((a, b) => a - b);
  const half = sorted.length / 2;
  return sorted.length === 0 ? undefined : (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
}
