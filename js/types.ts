// The public data of the API: options, messages, events and results, as a caller sees them.

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
  onProgress?: (progress: Progress) => void;
  /** Ends the load; what was downloaded stays stored. */
  signal?: AbortSignal;
  /** Where downloaded weights are kept: in the browser's database, in this page's memory, or nowhere. Default `'indexeddb'`. */
  cache?: 'indexeddb' | 'memory' | 'none';
  /** Used in place of the browser's own, for mirrors and authentication. */
  fetch?: typeof fetch;
  /** Sent with every request for the model. */
  headers?: Record<string, string>;
  /** Whether the engine lives in a dedicated worker (default) or in this thread. */
  worker?: boolean;
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
    | { type: 'regex'; pattern: string };
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
}

/** Why a reply ended. */
export type FinishReason = 'stop' | 'length' | 'toolCalls' | 'abort';

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
}

/** A reply as it comes: deltas, then one `done` with the whole. */
export type ReplyEvent =
  | { type: 'thinking'; text: string }
  | { type: 'content'; text: string }
  /** More of the arguments of a call that is being written. */
  | { type: 'toolCallDelta'; index: number; name: string; arguments: string }
  /** A whole call. */
  | ({ type: 'toolCall'; index: number } & ToolCall)
  /** Tokens of the prompt: taken in so far, all, and those the cache held already. */
  | { type: 'prefill'; processed: number; total: number; cached: number }
  | { type: 'notice'; code: string; message: string }
  | { type: 'done'; result: ChatResult };
