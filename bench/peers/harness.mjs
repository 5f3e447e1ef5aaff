// In the page: loads one contender through its adapter and times its public API.
//
// An adapter is a module with `load(settings)`: a model with `run(prompt, tokens)`, which continues the prompt by exactly so many
// tokens and gives `{ promptTokens, tokens, firstTokenMs, totalMs }`, the tokens as the library counts them. `settings` has the
// contender's `device` and `threads`, the address `checkpoint` that the formats' endings are put to, and `contextLength`.

import { CONTENDERS } from './contenders.mjs';

const WORDS = 'there big two country times school me then hard his keep earth of light help around so set they are with sea in any began hear right hand best city'.split(' ');

/** A text of about so many tokens: in Qwen3's vocabulary most of these words are one. */
const promptOf = (words) => Array.from({ length: words }, (_, index) => WORDS[(index * 7 + Math.floor(index / 31)) % WORDS.length]).join(' ');

async function load({ contender, model, promptTokens, tokens }) {
  const { adapter, ...own } = CONTENDERS[contender];
  const contextLength = Math.ceil((2 * (promptTokens + tokens)) / 256) * 256;
  const settings = { ...own, checkpoint: new URL(`/checkpoints/${model}`, location.href).href, contextLength };
  const start = performance.now();
  const loaded = await (await import(`./adapters/${adapter}.mjs`)).load(settings);
  return { loaded, loadMs: performance.now() - start };
}

/** Loads, warms up and measures one run; `settings`: `{ contender, model, promptTokens, tokens }`. */
export async function measure(settings) {
  const { loaded, loadMs } = await load(settings);
  await loaded.run('Once upon a time', 2);
  const { promptTokens, tokens, firstTokenMs, totalMs } = await loaded.run(promptOf(settings.promptTokens), settings.tokens);
  return {
    loadMs, firstTokenMs, promptTokens, tokens,
    prefillTokensPerSecond: (promptTokens / firstTokenMs) * 1e3,
    decodeTokensPerSecond: ((tokens - 1) / (totalMs - firstTokenMs)) * 1e3,
  };
}

/** How long it takes to load again, in a page of the same site. */
export const loadAgain = async (settings) => ({ secondLoadMs: (await load(settings)).loadMs });
