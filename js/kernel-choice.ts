// Which kernels an adapter was found to be fastest with, remembered so that a load need not try them again.

const CACHE = 'qwen3-web-kernels';

/** The choice for an adapter under this browser's version, among the kernels for real or for software adapters. */
export class KernelChoice {
  /** No address that is ever asked for: a cache knows its entries by one. */
  readonly #key: string;

  constructor(adapter: string, kernels: 'hardware' | 'software' | 'auto' = 'auto') {
    this.#key = `https://kernels.invalid/?${new URLSearchParams({ adapter, kernels, browser: navigator.userAgent })}`;
  }

  /** What is remembered, if anything is. */
  async read(): Promise<string | undefined> {
    try {
      const cache = await caches.open(CACHE);
      return await (await cache.match(this.#key))?.text();
    } catch {
      // Some browsers keep nothing in a private window: the kernels are tried again.
      return undefined;
    }
  }

  async write(variant: string | undefined): Promise<void> {
    try {
      const cache = await caches.open(CACHE);
      await cache.put(this.#key, new Response(variant));
    } catch {
      // See above.
    }
  }
}
