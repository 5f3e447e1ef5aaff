// The package's front door.

export { models as catalogue, fullName, type CatalogueEntry } from './catalogue.js';
export { diagnose, type Diagnosis } from './diagnose.js';
export { Qwen3Error, type ErrorCode } from './errors.js';
export { loadModel, type Model } from './model.js';
export { openAIFetch } from './openai/fetch.js';
export {
  languageModel, type LanguageModelSession, type PromptInput, type PromptMessage, type PromptOptions, type SessionOptions,
} from './prompt-api/language-model.js';
export { connect, type RemoteModel } from './remote/connect.js';
export { Reply, type ReplyListeners } from './reply.js';
export {
  deleteModel, downloadModel, exportModel, importModel, listModels, preflight, storageUsage, verifyModel, type Preflight, type StoredModel,
} from './storage.js';
export type {
  ChatModel, ChatOptions, ChatResult, ConnectOptions, Device, DownloadOptions, ExportedFile, FinishReason, GpuTimings, LoadOptions, Logger, Message, ModelInfo,
  ModelSource, Progress, ReplyEvent,
  RunOptions, RunResult, RunTool, SavedReply, Timings, TokenLogprob, Tool, ToolCall, ToolContext, ToolResult, UrlSource, Usage, Verification,
} from './types.js';
