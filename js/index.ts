// The package's front door.

export { models as catalogue, fullName, type CatalogueEntry } from './catalogue.js';
export { diagnose, type Diagnosis } from './diagnose.js';
export { Qwen3Error, type ErrorCode } from './errors.js';
export { loadModel, type Model } from './model.js';
export { type Reply, type ReplyListeners } from './reply.js';
export { deleteModel, listModels, preflight, storageUsage, type Preflight, type StoredModel } from './storage.js';
export type {
  ChatOptions, ChatResult, Device, FinishReason, LoadOptions, Message, ModelInfo, ModelSource, Progress, ReplyEvent,
  Timings, Tool, ToolCall, UrlSource, Usage,
} from './types.js';
