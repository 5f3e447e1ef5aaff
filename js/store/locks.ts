// Who may do what with a stored model while other tabs are about: one writes, many read, and none deletes what another uses.

import { aborted, Qwen3Error } from '../errors.js';

/** Gives a lock back; when it returns others can have it. */
export type Release = () => Promise<void>;

/** Held by every load from its beginning until the model is unloaded. */
export function inUse(name: string, signal: AbortSignal): Promise<Release> {
  return request(`qwen3-web use ${name}`, { mode: 'shared', signal });
}

/** The right to write the model's files; nothing if another has it. */
export function tryToWrite(name: string): Promise<Release | undefined> {
  return request(`qwen3-web write ${name}`, { ifAvailable: true });
}

/** The right to write the model's files, when it is this one's turn. */
export function toWrite(name: string, signal: AbortSignal): Promise<Release> {
  return request(`qwen3-web write ${name}`, { signal });
}

/** How long a deletion waits for a tab that is just giving the model up. */
const PATIENCE_MS = 1_000;

/** Does the work while nobody uses the model, or rejects with `busy`. */
export async function whileUnused<T>(name: string, work: () => Promise<T>): Promise<T> {
  let release: Release;
  try {
    release = await request(`qwen3-web use ${name}`, { mode: 'exclusive', signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    if (!(error instanceof Qwen3Error && error.code === 'aborted')) throw error;
    throw new Qwen3Error('busy', `${name} is in use, in this tab or another`, { hint: 'unload the model or close the tabs that use it, then try again', cause: error });
  }
  try {
    return await work();
  } finally {
    await release();
  }
}

function request(name: string, options: LockOptions & { ifAvailable: true }): Promise<Release | undefined>;
function request(name: string, options: LockOptions): Promise<Release>;
async function request(name: string, options: LockOptions): Promise<Release | undefined> {
  // Pages that are not served securely have no locks: there tabs do not know of each other.
  const locks: LockManager | undefined = globalThis.navigator?.locks;
  if (locks === undefined) return () => Promise.resolve();
  return new Promise((resolve, reject) => {
    const ended = locks.request(name, options, (lock) => {
      if (lock === null) return resolve(undefined);
      return new Promise<void>((end) => resolve(async () => {
        end();
        await ended;
      }));
    });
    ended.catch((error: unknown) => reject(options.signal?.aborted === true ? aborted(options.signal) : error));
  });
}
