// A fetch that a loaded model answers in OpenAI's protocol; what it does is loaded with the first request.

import type { ChatModel } from '../types.js';

/** For clients that speak to OpenAI: `new OpenAI({ baseURL: 'http://local/v1', fetch: openAIFetch(model), … })`. */
export function openAIFetch(model: ChatModel): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const { answer } = await import('./openai.js');
    return answer(model, request);
  };
}
