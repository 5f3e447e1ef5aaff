// Which kernels an adapter computes rightly and fastest with, remembered so that a load need not try them again.

import manifest from '../pkg/package.json';

const CACHE = 'qwen3-web-kernels';
/** A driver can change without the browser: what it computes is looked at again after a week. */
const KEEP_MS = 7 * 24 * 60 * 60 * 1000;

/** The choice for an adapter under these versions of browser and package, among the kernels for real or for software adapters. */
export class KernelChoice {
  /** No address that is ever asked for: a cache knows its entries by one. */
  readonly #key: string;

  constructor(adapter: string, kernels: 'hardware' | 'software' | 'auto' = 'auto') {
    const of = { adapter, kernels, browser: navigator.userAgent, version: manifest.version };
    this.#key = `https://kernels.invalid/?${new URLSearchParams(of)}`;
  }

  /** What is remembered, if anything is. */
  async read(): Promise<string | undefined> {
    try {
      const cache = await caches.open(CACHE);
      const choice = await cache.match(this.#key);
      const age = Date.now() - Date.parse(choice?.headers.get('date') ?? '');
      return age < KEEP_MS ? await choice?.text() : undefined;
    } catch {
      // Some browsers keep nothing in a private window: the kernels are tried again.
      return undefined;
    }
  }

  async write(variant: string | undefined): Promise<void> {
    try {
      const cache = await caches.open(CACHE);
      await cache.put(this.#key, new Response(variant, { headers: { date: new Date().toUTCString() } }));
    } catch {
      // See above.
    }
  }
}
