// The client libraries whose doors the tests try, bundled for the browser as an application would.

export { Agent, OpenAIChatCompletionsModel, run, setTracingDisabled, tool } from '@openai/agents';
export * as ai from 'ai';
export { default as OpenAI } from 'openai';
export { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
export { z } from 'zod';
