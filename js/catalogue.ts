// The built-in catalogue: names that stand for pinned files. The same JSON is read by the native engine.

import catalogue from '../src/formats/catalogue.json';
import type { RemoteFile } from './protocol.js';

/** One model under one quantisation. Its full name is `name:quantization` in lower case. */
export interface CatalogueEntry {
  readonly name: string;
  readonly quantization: string;
  readonly title: string;
  readonly description: string;
  /** What to say before anybody takes its answers seriously, for a model that is not a trained assistant. */
  readonly note?: string;
  readonly parameters?: number;
  /** Where its hashes come from, if not from the publisher. */
  readonly hashes?: string;
  /** The files lie beside the package's own code. */
  readonly embedded?: boolean;
  /** Without a size or a hash, what the first download had is recorded. */
  readonly files: readonly { readonly urls: readonly string[]; readonly sizeBytes?: number; readonly sha256?: string }[];
}

/** All entries; of those with the same name the first is the default. */
export const models: readonly CatalogueEntry[] = catalogue.models;

/** The name that means exactly this entry. */
export function fullName(entry: CatalogueEntry): string {
  return `${entry.name}:${entry.quantization.toLowerCase()}`;
}

/** The entry of `name` or `name:quantization`, nothing if there is none. */
export function find(name: string): CatalogueEntry | undefined {
  const wanted = name.toLowerCase();
  return models.find((entry) => entry.name === wanted || fullName(entry) === wanted);
}

/** The entry's files with absolute addresses. */
export function filesOf(entry: CatalogueEntry): RemoteFile[] {
  return entry.files.map(({ urls, ...pinned }) => ({ ...pinned, urls: entry.embedded === true ? [embeddedUrl()] : [...urls] }));
}

/** Written out so that bundlers find the file and ship it; the package holds one model. */
function embeddedUrl(): string {
  return new URL('./qwen3-tiny-math.gguf', import.meta.url).href;
}
