// A store that lives as long as the thread: for private windows, and for `cache: 'memory'`.

import type { Manifest } from './manifest.js';
import type { Store } from './store.js';

/** An empty store in memory. */
export function memoryStore(): Store {
  const models = new Map<string, { manifest: Manifest; chunks: Map<string, Uint8Array<ArrayBuffer>> }>();
  return {
    async list() {
      return [...models.values()].map(({ manifest }) => structuredClone(manifest));
    },
    async manifest(name) {
      return structuredClone(models.get(name)?.manifest);
    },
    async read(name, file, chunk) {
      return models.get(name)?.chunks.get(`${file}/${chunk}`)?.slice();
    },
    async write(manifest, chunk) {
      const model = models.get(manifest.name) ?? { manifest, chunks: new Map<string, Uint8Array<ArrayBuffer>>() };
      model.manifest = structuredClone(manifest);
      if (chunk !== undefined) model.chunks.set(`${chunk.file}/${chunk.index}`, chunk.bytes.slice());
      models.set(manifest.name, model);
    },
    async delete(name) {
      models.delete(name);
    },
  };
}
