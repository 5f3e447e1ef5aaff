// The store in the browser's database: one object store of manifests, one of chunks keyed [model, file, chunk].

import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import { Qwen3Error } from '../errors.js';
import type { Manifest, Store } from './store.js';

interface Schema extends DBSchema {
  manifests: { key: string; value: Manifest };
  chunks: { key: [string, number, number]; value: Uint8Array<ArrayBuffer> };
}

/** Of the layout above; a higher one comes with a migration in `upgrade`. */
const SCHEMA_VERSION = 1;

/** Opens the database `qwen3-web`, making it at the first use. */
export async function indexedDbStore(): Promise<Store> {
  const database = await orFail(() => openDB<Schema>('qwen3-web', SCHEMA_VERSION, {
    upgrade(db) {
      db.createObjectStore('manifests', { keyPath: 'name' });
      db.createObjectStore('chunks');
    },
    blocking(_current, _blocked, event) {
      // Another tab wants a newer layout: give way rather than hold it up.
      if (event.target instanceof IDBDatabase) event.target.close();
    },
  }));
  return new IndexedDbStore(database);
}

class IndexedDbStore implements Store {
  readonly #database: IDBPDatabase<Schema>;

  constructor(database: IDBPDatabase<Schema>) {
    this.#database = database;
  }

  list(): Promise<Manifest[]> {
    return orFail(() => this.#database.getAll('manifests'));
  }

  manifest(name: string): Promise<Manifest | undefined> {
    return orFail(() => this.#database.get('manifests', name));
  }

  read(name: string, file: number, chunk: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return orFail(() => this.#database.get('chunks', [name, file, chunk]));
  }

  write(manifest: Manifest, chunk?: { file: number; index: number; bytes: Uint8Array<ArrayBuffer> }): Promise<void> {
    return orFail(async () => {
      const transaction = this.#database.transaction(['manifests', 'chunks'], 'readwrite');
      const writes: Promise<unknown>[] = [transaction.objectStore('manifests').put(manifest)];
      if (chunk !== undefined) {
        writes.push(transaction.objectStore('chunks').put(chunk.bytes, [manifest.name, chunk.file, chunk.index]));
      }
      await Promise.all([...writes, transaction.done]);
    });
  }

  delete(name: string): Promise<void> {
    return orFail(async () => {
      const transaction = this.#database.transaction(['manifests', 'chunks'], 'readwrite');
      // Arrays sort after numbers, so `[name, []]` lies beyond every chunk of the model.
      const chunks = IDBKeyRange.bound([name], [name, []]);
      await Promise.all([
        transaction.objectStore('manifests').delete(name),
        transaction.objectStore('chunks').delete(chunks),
        transaction.done,
      ]);
    });
  }
}

async function orFail<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'QuotaExceededError') {
      const { usage = 0, quota = 0 } = await navigator.storage.estimate();
      throw new Qwen3Error('quota-exceeded', `the browser gives this site ${quota} bytes, and ${usage} are used`, {
        hint: 'delete a stored model (listModels, deleteModel) and load again: what is stored so far is kept', cause: error,
      });
    }
    throw new Qwen3Error('storage-unavailable', `the browser's database failed: ${String(error)}`, {
      hint: "pass cache: 'memory' or cache: 'none' to go on without it", cause: error,
    });
  }
}
