// What a store of model weights is: chunks of files and one manifest per model that says what is there.

/** The size of every chunk but the last of a file. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** One file of a stored model. */
export interface StoredFile {
  /** What it is to the engine. */
  role: 'weights' | 'config' | 'tokenizer';
  /** Its addresses when it was stored, in the order they are tried. */
  urls: string[];
  /** Bytes of the whole file; absent until a server has told. */
  sizeBytes?: number;
  /** Bytes in the store: whole chunks from the first on without gaps. */
  storedBytes: number;
  /** All of it is stored. */
  complete: boolean;
  /** The server's version of it when the download began. */
  etag?: string;
  /** Of the whole file: pinned by the source, or else recorded when it was complete. */
  sha256?: string;
}

/** What a store knows of one model. It is written in the same transaction as the chunk that changes it. */
export interface Manifest {
  /** Of this shape. */
  version: 1;
  /** The key: a catalogue name, or the address. */
  name: string;
  files: StoredFile[];
  /** Every file is complete and matched a hash that was known beforehand. */
  verified: boolean;
  /** Milliseconds since 1970. */
  lastUsed: number;
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
  write(manifest: Manifest, chunk?: { file: number; index: number; bytes: Uint8Array<ArrayBuffer> }): Promise<void>;
  /** Removes a model; nothing happens if it is not stored. */
  delete(name: string): Promise<void>;
}
