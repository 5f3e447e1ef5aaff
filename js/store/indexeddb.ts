// The store in the browser's database: one object store of manifests, one of chunks keyed [model, file, chunk].

import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import { Qwen3Error } from '../errors.js';
import { fromV1, type Manifest, type ManifestV1 } from './manifest.js';
import type { Chunk, Store } from './store.js';

interface Schema extends DBSchema {
  manifests: { key: string; value: Manifest };
  chunks: { key: [string, number, number]; value: Uint8Array<ArrayBuffer> };
}

const NAME = 'qwen3-web';
/** Of the layout above. Version 1 had manifests of another shape ({@link ManifestV1}). */
const SCHEMA_VERSION = 2;

/** The one connection of this thread, opened at the first use and again when the browser has closed it. */
let connection: Promise<IDBPDatabase<Schema>> | undefined;

/** The store in the database `qwen3-web`. */
export async function indexedDbStore(): Promise<Store> {
  await orFail(connect);
  return new IndexedDbStore();
}

function connect(): Promise<IDBPDatabase<Schema>> {
  connection ??= openDB<Schema>(NAME, SCHEMA_VERSION, {
    async upgrade(db, oldVersion, _newVersion, transaction) {
      if (oldVersion < 1) {
        db.createObjectStore('manifests', { keyPath: 'name' });
        db.createObjectStore('chunks');
        return;
      }
      const manifests = transaction.objectStore('manifests');
      for (const manifest of await manifests.getAll()) {
        if (isV1(manifest)) await manifests.put(fromV1(manifest));
      }
    },
    blocking(_current, _blocked, event) {
      // Another tab wants a newer layout: give way rather than hold it up.
      connection = undefined;
      if (event.target instanceof IDBDatabase) event.target.close();
    },
    terminated() {
      connection = undefined;
    },
  }).catch((error: unknown) => {
    connection = undefined;
    throw error;
  });
  return connection;
}

function isV1(manifest: Manifest | ManifestV1): manifest is ManifestV1 {
  return manifest.version === 1;
}

class IndexedDbStore implements Store {
  list(): Promise<Manifest[]> {
    return orFail(async () => (await connect()).getAll('manifests'));
  }

  manifest(name: string): Promise<Manifest | undefined> {
    return orFail(async () => (await connect()).get('manifests', name));
  }

  read(name: string, file: number, chunk: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return orFail(async () => (await connect()).get('chunks', [name, file, chunk]));
  }

  write(manifest: Manifest, chunk?: Chunk): Promise<void> {
    return orFail(async () => {
      const transaction = (await connect()).transaction(['manifests', 'chunks'], 'readwrite');
      const writes: Promise<unknown>[] = [transaction.objectStore('manifests').put(manifest)];
      if (chunk !== undefined) {
        writes.push(transaction.objectStore('chunks').put(chunk.bytes, [manifest.name, chunk.file, chunk.index]));
      }
      await Promise.all([...writes, transaction.done]);
    });
  }

  delete(name: string): Promise<void> {
    return orFail(async () => {
      const transaction = (await connect()).transaction(['manifests', 'chunks'], 'readwrite');
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
    const name = error instanceof DOMException ? error.name : '';
    if (name === 'QuotaExceededError') {
      const { usage = 0, quota = 0 } = await navigator.storage.estimate();
      throw new Qwen3Error('quota-exceeded', `the browser refused to store more: it gives this site ${quota} bytes, it says, and ${usage} are used`, {
        hint: 'delete a stored model (listModels, deleteModel) and load again: what is stored so far is kept', cause: error,
      });
    }
    if (name === 'VersionError') {
      throw new Qwen3Error('storage-unavailable', 'the stored weights were written by a newer version of this site', {
        hint: 'reload the page to get that version', cause: error,
      });
    }
    throw new Qwen3Error('storage-unavailable', `the browser's database failed: ${String(error)}`, {
      hint: "pass cache: 'memory' or cache: 'none' to go on without it", cause: error,
    });
  }
}
