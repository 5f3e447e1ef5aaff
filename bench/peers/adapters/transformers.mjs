// transformers.js: ONNX Runtime, compiled to WebAssembly.

import { AutoModelForCausalLM, AutoTokenizer, BaseStreamer, env } from '/modules/@huggingface/transformers/dist/transformers.min.js';

const RUNTIME = new URL('/modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify', location.href).href;

export async function load({ checkpoint, device, threads }) {
  const address = new URL(`${checkpoint}-${device}`);
  // As from the hub, so that its cache is used.
  Object.assign(env, { allowLocalModels: false, remoteHost: `${address.origin}/`, remotePathTemplate: '{model}/' });
  Object.assign(env.backends.onnx.wasm, { wasmPaths: { mjs: `${RUNTIME}.mjs`, wasm: `${RUNTIME}.wasm` }, numThreads: threads ?? 1 });
  const name = address.pathname.slice(1);
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const model = await AutoModelForCausalLM.from_pretrained(name, { device, dtype: 'q4' });
  return {
    async run(prompt, tokens) {
      const start = performance.now();
      const inputs = tokenizer(prompt, { add_special_tokens: false });
      const times = [];
      const streamer = new class extends BaseStreamer {
        put() {
          times.push(performance.now());
        }

        end() {}
      }();
      await model.generate({ ...inputs, max_new_tokens: tokens, min_new_tokens: tokens, do_sample: false, streamer });
      // The first that a streamer is given is the prompt.
      const [, first] = times;
      return { promptTokens: inputs.input_ids.dims[1], tokens: times.length - 1, firstTokenMs: first - start, totalMs: performance.now() - start };
    },
  };
}
