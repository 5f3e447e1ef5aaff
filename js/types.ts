// The public data of the API: options, messages, events and results, as a caller sees them.

import type { Reply } from './reply.js';

/** Where the engine runs. */
export type Device = 'webgpu' | 'cpu';

/** Bytes of a model under several addresses, tried in order. */
export interface UrlSource {
  urls: string[];
  /** Of the whole file, 64 hexadecimal digits. */
  sha256?: string;
  sizeBytes?: number;
  /** A `tokenizer.json`, for a GGUF whose own vocabulary is not to be used. */
  tokenizerUrl?: string;
}

/** A catalogue name, a URL of a `.gguf` or of a folder of safetensors, or the bytes of a GGUF. */
export type ModelSource = string | URL | Blob | ArrayBuffer | ReadableStream<Uint8Array> | UrlSource;

/** How far a load has come. Byte counts are those of the whole model. */
export interface Progress {
  phase: 'download' | 'verify' | 'upload' | 'compile' | 'warmup';
  loadedBytes: number;
  /** Absent while the size is not known. */
  totalBytes?: number;
  /** The bytes of this moment come from the store, not from the network. */
  fromCache: boolean;
  /** Over the last seconds; 0 until it can be told. */
  bytesPerSecond: number;
  /** Absent while it cannot be told. */
  etaSeconds?: number;
  /** The file at hand, without its path. */
  file: string;
}

/** Options of `loadModel`. */
export interface LoadOptions {
  /** `'auto'` takes WebGPU if there is a real adapter that passes the self-test; `'webgpu'` insists. Default `'auto'`. */
  device?: 'auto' | Device;
  /**
   * Which WebGPU kernels run: those for real adapters, or those without barriers for software adapters. `'auto'` (default)
   * goes by the adapter; the others are for tests and measurements.
   */
  kernels?: 'auto' | 'hardware' | 'software';
  /** Positions of KV cache, at most the model's own. Default 4096, or the model's own if that is less. */
  contextLength?: number;
  /**
   * Stretches the network by YaRN to so many times the positions of its training (Qwen3: 32,768), as Qwen3's card describes: above 1,
   * at most 64; how many of them there is memory for says `contextLength`. It costs accuracy on short texts. Default: not at all.
   */
  yarnFactor?: number;
  /**
   * How WebGPU keeps keys and values: `'auto'` (default) in 16 bits, in 32 where that is little; `'q8'` in 8 bits with a scale
   * for each 32, which is half the memory and moves the logits by some percent of their norm.
   */
  kvCache?: 'auto' | 'q8';
  /**
   * Times WebGPU's work by the GPU's own clock, for {@link Timings.gpu}. Default false; without effect where the adapter has
   * no `timestamp-query`, which `diagnose()` tells.
   */
  gpuTimestamps?: boolean;
  /**
   * Threads that compute on the CPU, 1 to 16. More than one need a page that is cross-origin isolated. Default: as many as the
   * processor has, at most 4; one for models of less than 64 MiB. No effect on replies, with `worker: false`, or on WebGPU.
   */
  threads?: number;
  onProgress?: (progress: Progress) => void;
  /** Ends the load; what was downloaded stays stored. */
  signal?: AbortSignal;
  /** Where downloaded weights are kept: in the browser's database, in this page's memory, or nowhere. Default `'indexeddb'`. */
  cache?: 'indexeddb' | 'memory' | 'none';
  /** Used in place of the browser's own, for mirrors and authentication. */
  fetch?: typeof fetch;
  /** Sent with every request for the model. */
  headers?: Record<string, string>;
  /** Parts of a file fetched side by side, 1 to 16. Default 4. */
  connections?: number;
  /** A connection without a byte for this long counts as lost and is opened anew, in milliseconds. Default 30 000. */
  stallTimeoutMs?: number;
  /** Told what the package does, without a word of prompts and replies; `console` will do. Silent by default. */
  logger?: Logger;
  /** Whether the engine lives in a dedicated worker (default) or in this thread. */
  worker?: boolean;
}

/** Options of the functions that fetch and check weights without loading a model: those of `loadModel` with the same names. */
export type DownloadOptions = Pick<LoadOptions, 'onProgress' | 'signal' | 'fetch' | 'headers' | 'connections' | 'stallTimeoutMs'>;

/** What `verifyModel` has found. */
export interface Verification {
  name: string;
  /** Every byte of the model is stored, after the repair if there was one. */
  complete: boolean;
  /** All weights match hashes that were known beforehand. */
  verified: boolean;
  /** Byte ranges of files, `to` excluded, that were no longer what they had been. */
  damaged: { file: string; from: number; to: number }[];
}

/** One file of a stored model, to be saved elsewhere. */
export interface ExportedFile {
  /** Without a path. */
  name: string;
  sizeBytes: number;
  /** Its bytes; fails if the model is deleted meanwhile. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Takes lines about the package's work, each with plain data about it. */
export interface Logger {
  debug(message: string, data?: object): void;
  info(message: string, data?: object): void;
  warn(message: string, data?: object): void;
  error(message: string, data?: object): void;
}

/** What a loaded model is. */
export interface ModelInfo {
  name: string;
  architecture: string;
  parameters: number;
  quantization: string;
  contextLength: number;
  maxContextLength: number;
  vocabularySize: number;
  device: Device;
  adapter?: string;
  weightBytes: number;
  kvCacheBytes: number;
}

/** A call of a tool. Its arguments are an object, as the model wrote it; in messages their JSON text will do too. */
export interface ToolCall {
  id: string;
  name: string;
  arguments: Record<string, unknown> | string;
}

/** One turn of a conversation. */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  thinking?: string;
  toolCalls?: ToolCall[];
  toolCallId?: string;
  name?: string;
}

/** A tool in OpenAI's shape. */
export interface Tool {
  type: 'function';
  function: { name: string; description?: string; parameters?: object };
}

/** Options of a reply; the engine checks types and ranges. */
export interface ChatOptions {
  /** Default true. */
  enableThinking?: boolean;
  thinkingBudget?: number;
  /** Closes thinking that repeats itself over and over, with a notice `thinking-loop`. Default true. */
  loopGuard?: boolean;
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  repetitionPenalty?: number;
  logitBias?: Record<number, number>;
  seed?: number;
  stop?: string | string[];
  tools?: Tool[];
  toolChoice?: 'auto' | 'none' | 'required' | { name: string };
  responseFormat?:
    | { type: 'json_object' }
    | { type: 'json_schema'; schema: object }
    | { type: 'regex'; pattern: string }
    /** A context-free grammar in Lark's notation, whose start rule is `start`. */
    | { type: 'grammar'; grammar: string };
  logprobs?: boolean;
  topLogprobs?: number;
  onContextOverflow?: 'error' | 'dropOldestTurns';
  /** Of the chat template. */
  addGenerationPrompt?: boolean;
  /** The last message is the assistant's and goes on. */
  continueFinalMessage?: boolean;
  /** Ends the reply like `reply.abort()`. */
  signal?: AbortSignal;
}

/** Token counts of a reply. */
export interface Usage {
  promptTokens: number;
  cachedTokens: number;
  thinkingTokens: number;
  contentTokens: number;
  completionTokens: number;
}

/** Speeds of a reply. */
export interface Timings {
  timeToFirstTokenMs: number;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
  totalMs: number;
  /** With the option `gpuTimestamps`, where the adapter has a clock. */
  gpu?: GpuTimings;
}

/** How long the GPU itself has worked for a reply, in milliseconds: without the way to it and without waiting. Browsers round its clock. */
export interface GpuTimings {
  /** Reading the prompt. */
  prefillMs: number;
  /** Everything after it; of steps that several replies share, an equal part. */
  decodeMs: number;
  /** The same by drawn tokens. */
  decodeMsPerToken: number;
}

/** Why a reply ended. */
export type FinishReason = 'stop' | 'length' | 'toolCalls' | 'abort';

/** A token and the natural logarithm of its probability, before penalties and temperature. */
export interface TokenLogprob {
  /** Its text; U+FFFD where it holds part of a character. */
  token: string;
  /** Absent where a server does not tell. */
  tokenId?: number;
  logprob: number;
}

/** The whole reply. */
export interface ChatResult {
  thinking: string;
  content: string;
  toolCalls: ToolCall[];
  finishReason: FinishReason;
  usage: Usage;
  timings: Timings;
  /** With which it was drawn, given or chosen. */
  seed: number;
  /** With the option `logprobs`: of each token outside the thinking, tags left out. */
  logprobs?: (TokenLogprob & { topLogprobs: TokenLogprob[] })[];
}

/** A tool with the function that does its work; without one, a call of it ends the run. */
export interface RunTool {
  name: string;
  description?: string;
  /** JSON Schema of the arguments; what does not fit never reaches `execute`. */
  parameters?: object;
  /** What it returns goes to the model: a string as it is, anything else as JSON. What it throws does too, as an error. */
  execute?: (args: Record<string, unknown>, context: ToolContext) => unknown;
}

/** What a tool may want to know of the call. */
export interface ToolContext {
  toolCallId: string;
  /** The conversation up to the call. */
  messages: readonly Message[];
  /** Fires when the run is aborted. */
  signal: AbortSignal;
}

/** Options of `run`. A `toolChoice` that demands a call holds for the first reply. */
export interface RunOptions extends Omit<ChatOptions, 'tools'> {
  tools: RunTool[];
  /** Replies of the model at most; default 20. The calls of the last one are not carried out. */
  maxSteps?: number;
}

/** What a tool answered. */
export interface ToolResult {
  toolCallId: string;
  name: string;
  content: string;
  isError: boolean;
}

/** The last reply of a run, and how it came about. */
export interface RunResult extends ChatResult {
  /** The replies in order, the last one included, each with the answers to its calls. */
  steps: (ChatResult & { toolResults: ToolResult[] })[];
  /** The conversation with all that the run added to it: the next call goes on from here. */
  messages: Message[];
}

/** A reply that `save` has taken apart, to be stored as JSON; `resume` goes on with it on the same model. */
export interface SavedReply {
  readonly version: number;
  readonly options: Omit<ChatOptions, 'signal'> | null;
  readonly seed: number;
  /** Token ids. */
  readonly prompt: number[];
  /** Token ids of what it has said so far. */
  readonly reply: number[];
}

/** A reply as it comes: deltas, then one `done` with the whole. */
export type ReplyEvent<Result extends ChatResult = ChatResult> =
  | { type: 'thinking'; text: string }
  | { type: 'content'; text: string }
  /** More of the arguments of a call that is being written. */
  | { type: 'toolCallDelta'; index: number; name: string; arguments: string }
  /** A whole call. */
  | ({ type: 'toolCall'; index: number } & ToolCall)
  /** In a run: what the tool answered. */
  | ({ type: 'toolResult' } & ToolResult)
  /** Tokens of the prompt: taken in so far, all, and those the cache held already. */
  | { type: 'prefill'; processed: number; total: number; cached: number }
  /** `dropped`: with the code `dropped-turns`, the places in `messages` of those that were left out. */
  | { type: 'notice'; code: string; message: string; dropped?: number[] }
  | { type: 'done'; result: Result };

/** What answers: a model loaded here, or one behind a server. */
export interface ChatModel {
  readonly info: { readonly name: string; readonly contextLength?: number };
  /** Answers a conversation, whose last message is the user's or a tool's. */
  chat(messages: Message[], options?: ChatOptions): Reply;
  /** `chat` in a loop: carries out the tools that are called, until there is an answer. */
  run(messages: Message[], options: RunOptions): Reply<RunResult>;
  /** Goes on from a raw text, without a chat template. */
  complete(prompt: string, options?: ChatOptions): Reply;
  /** How many tokens the prompt of a conversation has. */
  countTokens(messages: Message[], options?: ChatOptions): Promise<number>;
  /** Takes a conversation into the KV cache while the user still types; absent where that cannot be asked for. */
  prefill?(messages: Message[], options?: ChatOptions): Promise<void>;
}

/** Where a server has the model. */
export interface ConnectOptions {
  /** Of its OpenAI-compatible API: `http://localhost:8000/v1`. */
  baseURL: string | URL;
  /** The server's name of the model. */
  model: string;
  apiKey?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Used in place of the browser's own. */
  fetch?: typeof fetch;
}
