// Serves the examples with the package as it was built: `npm run examples`.

import { fileURLToPath } from 'node:url';

const pkg = fileURLToPath(new URL('../pkg/index.js', import.meta.url));

export default {
  resolve: { alias: { 'qwen3-web': pkg } },
  server: { fs: { allow: ['..'] } },
  optimizeDeps: { exclude: ['qwen3-web'] },
};
