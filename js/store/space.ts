// Room on the disk: what the browser gives, whether so many bytes fit, and which model to delete if they do not.

import { Qwen3Error } from '../errors.js';
import { storedBytes, type Manifest } from './manifest.js';
import type { Store } from './store.js';

/** What this site uses of the disk, and what the browser would give it at most; nothing where the browser does not tell. */
export async function estimate(): Promise<{ usedBytes: number; quotaBytes: number } | undefined> {
  const { usage, quota } = await globalThis.navigator?.storage?.estimate() ?? {};
  return usage === undefined || quota === undefined ? undefined : { usedBytes: usage, quotaBytes: quota };
}

let asked = false;

/** Asks the browser, once, not to clear this site's data when the disk runs full. Firefox asks the user; nobody waits for the answer. */
export function requestPersistence(): void {
  const storage: Partial<StorageManager> | undefined = globalThis.navigator?.storage;
  if (asked || storage?.persist === undefined) return;
  asked = true;
  storage.persist().catch(() => undefined);
}

/** The models whose deletion makes that much room, the least recently used first; all of the others if even they do not. */
export function toDelete(manifests: readonly Manifest[], neededBytes: number, except: string): Manifest[] {
  const others = manifests.filter(({ name }) => name !== except).sort((a, b) => a.lastUsed - b.lastUsed);
  const chosen: Manifest[] = [];
  for (let freed = 0; freed < neededBytes; ) {
    const next = others.shift();
    if (next === undefined) break;
    freed += sizeOf(next);
    chosen.push(next);
  }
  return chosen;
}

/** Throws `quota-exceeded` if the browser says that so many more bytes do not fit. */
export async function assertFits(store: Store, name: string, bytes: number): Promise<void> {
  const room = await estimate();
  if (room === undefined) return;
  const free = Math.max(0, room.quotaBytes - room.usedBytes);
  if (bytes <= free) return;
  const message = `${bytes} bytes of ${name} are to be stored, and the browser has ${free} left for this site (${room.usedBytes} of ${room.quotaBytes} are used)`;
  throw new Qwen3Error('quota-exceeded', message, { hint: await adviceFor(store, name, bytes - free) });
}

/** The failure with what to delete, if it is one of room. */
export async function withAdvice(error: unknown, store: Store, name: string, bytes: number): Promise<unknown> {
  if (!(error instanceof Qwen3Error) || error.code !== 'quota-exceeded') return error;
  const { message, cause } = error;
  return new Qwen3Error('quota-exceeded', message, { hint: await adviceFor(store, name, bytes), cause });
}

async function adviceFor(store: Store, name: string, neededBytes: number): Promise<string> {
  const kept = 'what is stored so far is kept, and the download goes on from there';
  const models = toDelete(await store.list(), neededBytes, name);
  if (models.length === 0) return `free space on the disk, or pass cache: 'none' to load without storing; ${kept}`;
  const named = models.map((model) => `'${model.name}' (${sizeOf(model)} bytes, last used ${new Date(model.lastUsed).toISOString().slice(0, 10)})`);
  return `delete ${named.join(' and ')} with deleteModel and load again; ${kept}`;
}

function sizeOf({ files }: Manifest): number {
  return files.reduce((sum, file) => sum + storedBytes(file), 0);
}
