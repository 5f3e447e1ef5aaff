// The page without a network: its own files, the engine and the model that ships with it are kept at the first visit. From the second
// on the page is cross-origin isolated, so that threads can share its memory, on hosts that send no headers too.
// It touches nothing else: weights are kept in IndexedDB, and their requests pass by.

/** The files of this build with hashes of their bytes; the build writes the list at the top of this file. */
declare const SHELL: Readonly<Record<string, string>>;
declare const self: ServiceWorkerGlobalScope;
export {};

const PREFIX = 'qwen3-web shell ';
/** One cache per build, so that files of two builds never meet. */
const CACHE = PREFIX + Object.values(SHELL).map((hash) => hash.slice(0, 4)).join('');
/** A network that says nothing for this long counts as none. */
const PATIENCE_MS = 3_000;

const address = (name: string): string => new URL(name, self.registration.scope).href;
const kept = new Set(Object.keys(SHELL).map(address));

self.addEventListener('install', (event) => {
  const files = [...kept].map((url) => new Request(url, { cache: 'no-cache' }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(files)));
});

self.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  url.search = url.hash = '';
  const page = request.mode === 'navigate' && url.href === self.registration.scope;
  const name = page ? address('index.html') : url.href;
  if (request.method === 'GET' && kept.has(name)) event.respondWith(answer(request, name).then(isolated));
});

/** The same, with what an isolated page asks of itself and of its workers. */
function isolated(response: Response): Response {
  if (!response.ok) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** Files with their hash in the name are the same for ever. The others are asked for, and come from here where no answer does. */
async function answer(request: Request, name: string): Promise<Response> {
  const stored = await (await caches.open(CACHE)).match(name);
  if (stored === undefined) return fetch(request);
  if (/-[0-9a-f]{8}\.\w+$/.test(name)) return stored;
  const late = new Promise<Response>((resolve) => setTimeout(() => resolve(stored), PATIENCE_MS));
  const network = fetch(request).then((response) => (response.ok ? response : stored), () => stored);
  return Promise.race([network, late]);
}
