// Builds the package's JavaScript into pkg/ and, from the package as any user of it would, the demo page into www/dist/.

import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Types are checked by tsc; here they are only taken off. */
const typescript = (configFile) => ({ test: /\.ts$/, loader: 'ts-loader', options: { transpileOnly: true, configFile: path(configFile) } });
const extensionAlias = { '.js': ['.ts', '.js'] };

const library = {
  name: 'library',
  mode: 'production',
  devtool: false,
  target: ['web', 'es2022'],
  entry: { index: './js/index.ts', host: './js/host.ts', worker: './js/worker.ts' },
  experiments: { outputModule: true },
  output: { path: path('pkg'), filename: '[name].js', library: { type: 'module' }, chunkFormat: 'module' },
  // The package's own entries stay files of their own.
  externalsType: 'module-import',
  externals: [({ request, contextInfo }, done) => (request === './host.js' && contextInfo.issuer.endsWith('model.ts') ? done(null, request) : done())],
  module: {
    rules: [typescript('js/tsconfig.json')],
    // Addresses of files stay as they are written: the bundler of whoever uses the package resolves them.
    parser: { javascript: { url: false, worker: false, importMeta: false } },
  },
  resolve: { extensionAlias },
  // The package is read by people and minified by the bundlers of others.
  optimization: { minimize: false },
  performance: false,
};

const page = {
  name: 'page',
  dependencies: ['library'],
  mode: 'production',
  devtool: 'source-map',
  target: ['web', 'es2022'],
  entry: { main: './www/main.ts' },
  output: { path: path('www/dist'), filename: '[name].js', assetModuleFilename: 'assets/[name]-[contenthash:8][ext]', clean: true },
  module: {
    rules: [
      typescript('www/tsconfig.json'),
      { test: /www[\\/][^\\/]+\.(html|css|svg)$/, type: 'asset/resource', generator: { filename: '[name][ext]' } },
    ],
  },
  resolve: { extensionAlias, alias: { 'qwen3-web$': path('pkg/index.js') } },
  performance: false,
};

export default [library, page];
