// What a store of model weights is: chunks of files and one manifest per model that says what is there.

import type { Manifest } from './manifest.js';

/** A chunk of a file by its place, or the beginning of it. */
export interface Chunk {
  file: number;
  index: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Keeps weights. Every method rejects with `storage-unavailable` or `quota-exceeded` where the medium fails. */
export interface Store {
  /** The manifests of all models, in no order. */
  list(): Promise<Manifest[]>;
  /** The manifest of a model, nothing if it is not stored. */
  manifest(name: string): Promise<Manifest | undefined>;
  /** A chunk of a model's file, nothing if it is not stored. */
  read(name: string, file: number, chunk: number): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Stores the manifest, and the chunk that goes with it: both or neither. */
  write(manifest: Manifest, chunk?: Chunk): Promise<void>;
  /** Removes a model; nothing happens if it is not stored. */
  delete(name: string): Promise<void>;
}
