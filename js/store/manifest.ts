// What a store knows of a model: its files, which chunks of them are there, and what bytes they must have.

/** The size of every chunk but the last of a file. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** A chunk that is stored, or its beginning. */
export interface StoredChunk {
  bytes: number;
  /** SHA-256 of these bytes; absent in what version 1 has stored. */
  sha256?: string;
}

/** One file of a stored model. */
export interface StoredFile {
  /** What it is to the engine. */
  role: 'weights' | 'config' | 'tokenizer' | 'tokenizerConfig' | 'chatTemplate';
  /** Its addresses when it was stored, in the order they are tried. */
  urls: string[];
  /** Bytes of the whole file; absent until a server has told. */
  sizeBytes?: number;
  /** By place in the file; a place without an entry is not stored. */
  chunks: (StoredChunk | undefined)[];
  /** The server's version of it when the download began. */
  version?: { url: string; etag?: string; lastModified?: string };
  /** SHA-256 of the whole file that the source asks for. */
  pinned?: string;
  /** SHA-256 that the whole file was found to have; absent until all of it was seen. */
  sha256?: string;
}

/** One stored model. It is written in the same transaction as the chunk that changes it. */
export interface Manifest {
  /** Of this shape. */
  version: 2;
  /** The key: a catalogue name, or the address. */
  name: string;
  chunkBytes: number;
  files: StoredFile[];
  /** Milliseconds since 1970. */
  lastUsed: number;
}

/** The bytes a chunk of the file has when it is whole; nothing while the file's size is not known. */
export function wholeChunk(manifest: Manifest, file: StoredFile, index: number): number | undefined {
  return file.sizeBytes === undefined ? undefined : Math.min(manifest.chunkBytes, file.sizeBytes - index * manifest.chunkBytes);
}

/** Whether that chunk is stored to its end. */
export function hasChunk(manifest: Manifest, file: StoredFile, index: number): boolean {
  const bytes = file.chunks[index]?.bytes;
  return bytes !== undefined && (bytes === manifest.chunkBytes || bytes === wholeChunk(manifest, file, index));
}

/** Whether every byte of the file is stored. */
export function isComplete(file: StoredFile): boolean {
  return file.sizeBytes !== undefined && storedBytes(file) === file.sizeBytes;
}

/** Bytes of the file in the store. */
export function storedBytes(file: StoredFile): number {
  return file.chunks.reduce((sum, chunk) => sum + (chunk?.bytes ?? 0), 0);
}

/** Whether every byte of the file is stored, was seen together, and can be told from a damaged one. */
export function isChecked(file: StoredFile): boolean {
  return isComplete(file) && file.sha256 !== undefined && file.chunks.every((chunk) => chunk?.sha256 !== undefined);
}

/** Whether all weights have hashes that were known beforehand. */
export function isVerified({ files }: Manifest): boolean {
  return files.every((file) => isChecked(file) && (file.role !== 'weights' || file.sha256 === file.pinned));
}

/** The file's name without its path. */
export function baseName({ urls }: { urls: readonly string[] }): string {
  const path = new URL(urls[0] ?? 'file:///model').pathname;
  return decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
}

/** A manifest as version 1 wrote it: chunks of 4 MiB from the first on without gaps, and no hashes of them. */
export interface ManifestV1 {
  version: 1;
  name: string;
  files: { role: StoredFile['role']; urls: string[]; sizeBytes?: number; storedBytes: number; complete: boolean; etag?: string; sha256?: string }[];
  verified: boolean;
  lastUsed: number;
}

/** The same model in today's shape. What has no hashes yet gets them when it is read next. */
export function fromV1({ name, files, lastUsed }: ManifestV1): Manifest {
  const chunkBytes = 4 * 1024 * 1024;
  return {
    version: 2, name, chunkBytes, lastUsed,
    files: files.map(({ role, urls, sizeBytes, storedBytes, complete, etag, sha256 }) => {
      const [url] = urls;
      const size = complete ? storedBytes : sizeBytes;
      return {
        role, urls,
        chunks: Array.from({ length: Math.ceil(storedBytes / chunkBytes) }, (_, index) => ({ bytes: Math.min(chunkBytes, storedBytes - index * chunkBytes) })),
        ...(size === undefined ? {} : { sizeBytes: size }),
        ...(etag === undefined || url === undefined ? {} : { version: { url, etag } }),
        ...(sha256 === undefined ? {} : { pinned: sha256 }),
      };
    }),
  };
}
