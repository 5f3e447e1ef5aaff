// Builds the package's JavaScript into pkg/, and from the package, as any user of it would, the demo page into www/dist/.

import { resolve } from 'node:path';

const here = import.meta.dirname ?? new URL('.', import.meta.url).pathname;
const typescript = { test: /\.ts$/, loader: 'ts-loader', options: { transpileOnly: true }, resolve: { fullySpecified: false } };
const extensionAlias = { '.js': ['.ts', '.js'] };

/** Files that stay files: other entries, and what the wasm build puts beside them. */
const packageLibrary = {
  name: 'library',
  mode: 'production',
  target: ['web', 'es2022'],
  entry: { index: './js/index.ts', host: './js/host.ts', worker: './js/worker.ts' },
  experiments: { outputModule: true },
  output: { path: resolve(here, 'pkg'), filename: '[name].js', library: { type: 'module' }, chunkFormat: 'module' },
  // Addresses of files stay as they are written: the bundler of whoever uses the package resolves them.
  module: { parser: { javascript: { url: false, worker: false, importMeta: false } }, rules: [{ ...typescript, options: { ...typescript.options, configFile: resolve(here, 'js/tsconfig.json') } }] },
  resolve: { extensionAlias },
  externalsType: 'module-import',
  externals: [({ request, contextInfo }, callback) => (request === './host.js' && contextInfo.issuer.endsWith('model.ts') ? callback(null, './host.js') : callback())],
  // The package is read and minified by others.
  optimization: { minimize: false },
  performance: false,
};

export default [packageLibrary];
