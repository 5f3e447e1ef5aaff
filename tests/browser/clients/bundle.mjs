// Bundles the client libraries once, into a folder that a test's server can mount.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { ROOT } from '../chromium.mjs';

/** The folder with `clients.js`. */
export async function bundleClients() {
  const outDir = mkdtempSync(join(tmpdir(), 'qwen3-web-clients-'));
  await build({
    root: join(ROOT, 'tests/browser/clients'),
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"' },
    build: { outDir, emptyOutDir: false, minify: false, lib: { entry: 'index.js', formats: ['es'], fileName: 'clients' } },
  });
  return `${outDir}/`;
}
