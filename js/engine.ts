// The wasm engine as its glue code exports it; three files, one for WebGPU, one for the CPU and one for several threads of it.

import type { PlainChatOptions } from './protocol.js';
import type { Shared, Threads } from './threads.js';
import type { Message, ReplyEvent, SavedReply } from './types.js';

/** How a model's bytes are to be taken. */
export interface LoaderOptions {
  format: 'gguf' | 'safetensors';
  contextLength?: number;
  yarnFactor?: number;
  /** Keys and values in 8 bits, on WebGPU. */
  kvCache?: 'q8';
  /** Times WebGPU's work by its own clock, where it has one. */
  gpuTimestamps?: true;
  /** Take a software adapter too. */
  insist: boolean;
  /** The kernels meant for real or for software adapters, whatever the adapter is. */
  kernels?: 'hardware' | 'software';
  /** An earlier loader's {@link Loader.variant} on this adapter. */
  variant?: string;
  /** The text of `config.json`, with safetensors. */
  configJson?: string | undefined;
  /** The text of `tokenizer_config.json`, with safetensors that have one. */
  tokenizerConfigJson?: string | undefined;
  /** The text of `chat_template.jinja`, likewise. */
  chatTemplate?: string | undefined;
  /** The bytes of `tokenizer.json`: needed with safetensors, used instead of the file's own vocabulary with GGUF. */
  tokenizerJson?: Uint8Array | undefined;
}

/** Takes the bytes of a model in order. Freed by {@link Loader.finish}, or by the caller when it fails. */
export interface Loader {
  /** The kernels that the adapter was found to be fastest with. */
  readonly variant: string | undefined;
  /** So many bytes the current file has: a header that speaks of more is refused at once. */
  expect(bytes: number): void;
  push(bytes: Uint8Array): void;
  /** What follows belongs to the next file of a split model. */
  nextFile(): void;
  finish(): Promise<Engine>;
  free(): void;
}

/** What the engine knows of its model. */
export interface EngineInfo {
  name?: string;
  architecture: string;
  parameters: number;
  quantization: string;
  contextLength: number;
  maxContextLength: number;
  vocabularySize: number;
  weightBytes: number;
  kvCacheBytes: number;
  adapter?: string;
}

/** A loaded model. No call while one of its promises is pending. */
export interface Engine {
  info(): EngineInfo;
  tokenize(text: string): Uint32Array<ArrayBuffer>;
  detokenize(ids: Uint32Array): string;
  applyChatTemplate(messages: Message[], options: PlainChatOptions): string;
  countTokens(messages: Message[], options: PlainChatOptions): number;
  logits(ids: Uint32Array): Promise<Float32Array<ArrayBuffer>>;
  /** Starts a reply and returns its number. */
  chat(messages: Message[], options: PlainChatOptions): number;
  complete(prompt: string, options: PlainChatOptions): number;
  /** One bounded piece of work for a reply; the last one yields `done`. */
  step(reply: number): Promise<ReplyEvent[]>;
  abort(reply: number): void;
  skipThinking(reply: number): void;
  save(reply: number): SavedReply;
  /** Goes on with a saved reply and returns its number. */
  resume(saved: SavedReply): number;
  /** One bounded piece of work for when there is nothing else to do; whether there is more. */
  idle(): Promise<boolean>;
  prefill(messages: Message[], options: PlainChatOptions): Promise<void>;
  /** Whether a reply with these options has to keep to a form, for which {@link Engine.setGrammars} must come first. */
  needsGrammars(options: PlainChatOptions): boolean;
  vocabulary(): Uint8Array<ArrayBuffer>;
  endTokens(): Uint32Array<ArrayBuffer>;
  setGrammars(grammars: Grammars): void;
  /** What {@link ChatTemplate} takes, if {@link Engine.setTemplate} must come before the first conversation. */
  needsTemplate(): string | undefined;
  /** The template is freed with the engine. */
  setTemplate(template: ChatTemplate): void;
  free(): void;
}

/** What makes constraints for an engine, which calls it from its own WebAssembly. */
export interface Grammars {
  free(): void;
}

/** What runs the chat template that a model carries, for an engine that calls it from its own WebAssembly. */
export interface ChatTemplate {
  free(): void;
}

/** Bytes of a page of WebAssembly's memory. */
const PAGE = 65_536;
/** What an engine needs beside its weights, with a context of the usual length. */
const BESIDE_WEIGHTS = 512 * 2 ** 20;

interface Module {
  default(init: { module_or_path: URL | WebAssembly.Module; memory?: WebAssembly.Memory }): Promise<unknown>;
}

interface EngineModule extends Module {
  Loader: { open(options: LoaderOptions, threads?: Threads): Promise<Loader> };
}

/**
 * Fetches and instantiates the engine for WebGPU. The addresses stand here in the form every bundler takes for a file
 * to ship as it is; the glue code is imported from there, so that a bundler's worker format does not matter.
 */
export function importGpuEngine(): Promise<EngineModule> {
  return instantiate<EngineModule>(new URL('./engine-gpu.js', import.meta.url), new URL('./engine-gpu.wasm', import.meta.url));
}

/** Likewise, for the CPU. */
export function importCpuEngine(): Promise<EngineModule> {
  return instantiate<EngineModule>(new URL('./engine-cpu.js', import.meta.url), new URL('./engine-cpu.wasm', import.meta.url));
}

let threaded: Promise<EngineModule & Shared> | undefined;

/** Likewise, for several threads of the CPU and weights of so many bytes: with what they share, which this thread has once. */
export function importThreadedEngine(bytes: number): Promise<EngineModule & Shared> {
  return threaded ??= instantiateShared(bytes).catch((error: unknown) => {
    threaded = undefined;
    throw error;
  });
}

async function instantiateShared(bytes: number): Promise<EngineModule & Shared> {
  const memory = sharedMemory(bytes);
  const response = await fetch(new URL('./engine-cpu-threads.wasm', import.meta.url));
  if (!response.ok) throw new Error(`${response.url} was answered with status ${response.status}`);
  const module = await WebAssembly.compile(await response.arrayBuffer());
  const engine = await importGlue<EngineModule>(new URL('./engine-cpu-threads.js', import.meta.url));
  const exports = await engine.default({ module_or_path: module, memory });
  return { ...engine, module, memory, exports: exports as Shared['exports'] };
}

/** Memory that may grow as far as the browser will let it, and to the weights at least: some refuse to set aside all that can be addressed. */
function sharedMemory(bytes: number): WebAssembly.Memory {
  for (let maximum = 65_536; ; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: 64, maximum, shared: true });
    } catch (error) {
      if (maximum / 2 * PAGE < bytes + BESIDE_WEIGHTS) throw error;
    }
  }
}

interface GrammarModule extends Module {
  Grammars: new (vocabulary: Uint8Array, endTokens: Uint32Array) => Grammars;
}

/** Fetches and instantiates the grammars, which only replies that have to keep to a form need. */
export function importGrammars(): Promise<GrammarModule> {
  return instantiate<GrammarModule>(new URL('./grammar.js', import.meta.url), new URL('./grammar.wasm', import.meta.url));
}

interface JinjaModule extends Module {
  ChatTemplate: new (carried: string) => ChatTemplate;
}

/** Fetches and instantiates what runs chat templates, which only models with another template than Qwen3's need. */
export function importJinja(): Promise<JinjaModule> {
  return instantiate<JinjaModule>(new URL('./jinja.js', import.meta.url), new URL('./jinja.wasm', import.meta.url));
}

async function instantiate<M extends Module>(glue: URL, wasm: URL): Promise<M> {
  const module = await importGlue<M>(glue);
  await module.default({ module_or_path: wasm });
  return module;
}

/** From where it lies, past the bundler. */
function importGlue<M extends Module>(glue: URL): Promise<M> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ glue.href);
}
