// Which kernels an adapter was found to be fastest with, remembered so that a load need not try them again.

const CACHE = 'qwen3-web-kernels';

/** The choice for an adapter under this browser's version, if one is remembered. */
export async function chosenKernels(adapter: string): Promise<string | undefined> {
  try {
    const cache = await caches.open(CACHE);
    return await (await cache.match(key(adapter)))?.text();
  } catch {
    // Some browsers keep nothing in a private window: the kernels are tried again.
    return undefined;
  }
}

/** Remembers a choice. */
export async function rememberKernels(adapter: string, variant: string): Promise<void> {
  try {
    const cache = await caches.open(CACHE);
    await cache.put(key(adapter), new Response(variant));
  } catch {
    // See above.
  }
}

/** No address that is ever asked for: a cache knows its entries by one. */
function key(adapter: string): string {
  return `https://kernels.invalid/?${new URLSearchParams({ adapter, browser: navigator.userAgent })}`;
}
