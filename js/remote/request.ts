// What a server is asked: options of a reply in OpenAI's names and in those that vLLM, SGLang and llama.cpp add.

import type { ChatOptions, Message } from '../types.js';

/** What a reply answers: a conversation, or a raw text. */
export type Prompt = { messages: Message[] } | { text: string };

/** What Qwen's model card says for each mode. */
const PRESETS = {
  thinking: { temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0 },
  nonThinking: { temperature: 0.7, top_p: 0.8, top_k: 20, min_p: 0 },
};

/** The body of a request for a reply. */
export function requestBody(model: string, prompt: Prompt, options: ChatOptions, seed: number): object {
  const { enableThinking = true, logprobs, topLogprobs } = options;
  const sampling = {
    ...(enableThinking ? PRESETS.thinking : PRESETS.nonThinking),
    ...present({
      temperature: options.temperature, top_p: options.topP, top_k: options.topK, min_p: options.minP, seed, stop: options.stop,
      presence_penalty: options.presencePenalty, frequency_penalty: options.frequencyPenalty, repetition_penalty: options.repetitionPenalty,
      // llama.cpp's name for it.
      repeat_penalty: options.repetitionPenalty,
      logit_bias: options.logitBias, max_tokens: options.maxTokens,
    }),
  };
  const delivery = { model, stream: true, stream_options: { include_usage: true }, return_progress: true };
  if ('text' in prompt) return { ...delivery, ...sampling, prompt: prompt.text, ...(logprobs === true ? { logprobs: topLogprobs ?? 0 } : {}) };
  return {
    ...delivery, ...sampling, ...thinkingBudget(options), ...responseFormat(options), ...templateOptions(options),
    messages: prompt.messages.map(message), reasoning_control: true,
    ...present({ logprobs, top_logprobs: logprobs === true ? topLogprobs ?? 0 : undefined, tool_choice: toolChoice(options) }),
  };
}

/** What the server's chat template takes. */
export function templateOptions({ enableThinking = true, tools, addGenerationPrompt, continueFinalMessage }: ChatOptions): object {
  return {
    chat_template_kwargs: { enable_thinking: enableThinking },
    ...present({ tools, add_generation_prompt: addGenerationPrompt, continue_final_message: continueFinalMessage }),
  };
}

function thinkingBudget({ thinkingBudget: budget }: ChatOptions): object {
  // vLLM's, llama.cpp's and SGLang's name for it.
  return budget === undefined ? {} : { thinking_token_budget: budget, thinking_budget_tokens: budget, custom_params: { thinking_budget: budget } };
}

function responseFormat({ responseFormat: format }: ChatOptions): object {
  switch (format?.type) {
    case undefined: return {};
    case 'json_object': return { response_format: format };
    case 'json_schema': return { response_format: { type: 'json_schema', json_schema: { name: 'response', schema: format.schema, strict: true } } };
    // vLLM's and SGLang's name for it.
    case 'regex': return { structured_outputs: { regex: format.pattern }, regex: format.pattern };
    case 'grammar': return { structured_outputs: { grammar: format.grammar } };
  }
}

function toolChoice({ toolChoice: choice, tools }: ChatOptions): unknown {
  if (tools === undefined) return undefined;
  return typeof choice === 'object' ? { type: 'function', function: choice } : choice;
}

/** A message in OpenAI's shape. */
export function message({ role, content, thinking, toolCalls, toolCallId, name }: Message): object {
  const calls = toolCalls?.map((call) => ({
    id: call.id, type: 'function',
    function: { name: call.name, arguments: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments) },
  }));
  // Servers disagree on the name of the thinking.
  return { role, content, ...present({ reasoning_content: thinking, reasoning: thinking, tool_calls: calls, tool_call_id: toolCallId, name }) };
}

function present(fields: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
