// Builds the package's JavaScript into pkg/ and, from the package as any user of it would, the demo page into
// www/dist/ and the sidebar into extension/dist/.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import CopyPlugin from 'copy-webpack-plugin';
import webpack from 'webpack';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Types are checked by tsc; here they are only taken off. */
const typescript = (configFile) => ({ test: /\.ts$/, loader: 'ts-loader', options: { transpileOnly: true, configFile: path(configFile) } });
const extensionAlias = { '.js': ['.ts', '.js'] };

/** Parts of the package that a page fetches when it first uses them. */
const LAZY = { 'tool-arguments': './js/run/tool-arguments.ts', openai: './js/openai/openai.ts', remote: './js/remote/remote.ts' };

const library = {
  name: 'library',
  mode: 'production',
  devtool: 'source-map',
  target: ['web', 'es2022'],
  entry: { index: './js/index.ts', host: './js/host.ts', worker: './js/worker.ts', 'ai-sdk': './js/ai-sdk/ai-sdk.ts', ...LAZY },
  experiments: { outputModule: true },
  output: { path: path('pkg'), filename: '[name].js', library: { type: 'module' }, chunkFormat: 'module' },
  // The package's own entries stay files of their own, so that what several of them use is one and the same.
  externalsType: 'module-import',
  externals: [({ request, contextInfo }, done) => {
    const [, name] = /^\.{1,2}\/(?:[\w-]+\/)*([\w-]+)\.js$/.exec(request) ?? [];
    const own = name === 'index' || Object.hasOwn(LAZY, name ?? '') || (name === 'host' && contextInfo.issuer.endsWith('model.ts'));
    return own && /[\\/]js[\\/]/.test(contextInfo.issuer) && !contextInfo.issuer.includes('node_modules') ? done(null, `./${name}.js`) : done();
  }],
  module: {
    rules: [typescript('js/tsconfig.json')],
    // Addresses of files stay as they are written: the bundler of whoever uses the package resolves them.
    parser: { javascript: { url: false, worker: false, importMeta: false } },
  },
  resolve: { extensionAlias },
  // Minified here: bundlers ship worker.js as it is. The maps hold the sources; what is written to those bundlers stays.
  optimization: { minimize: { javascript: { compress: { passes: 2 }, format: { preserve_annotations: true, comments: /webpackIgnore|@vite-ignore/ } } } },
  performance: false,
};

/** Tells the service worker which files the page consists of, and when one of them has changed. */
const listShell = {
  apply: (compiler) => compiler.hooks.compilation.tap('list-shell', (compilation) => {
    const stage = webpack.Compilation.PROCESS_ASSETS_STAGE_REPORT;
    compilation.hooks.processAssets.tap({ name: 'list-shell', stage }, (assets) => {
      const names = Object.keys(assets).filter((name) => name !== 'service-worker.js' && !/\.(map|txt)$/.test(name)).sort();
      const hash = (name) => createHash('sha256').update(assets[name].buffer()).digest('hex').slice(0, 16);
      const shell = JSON.stringify(Object.fromEntries(names.map((name) => [name, hash(name)])));
      compilation.updateAsset('service-worker.js', (code) => new webpack.sources.ConcatSource(`const SHELL = ${shell};\n`, code));
    });
  }),
};

const page = {
  name: 'page',
  dependencies: ['library'],
  mode: 'production',
  devtool: 'source-map',
  target: ['web', 'es2022'],
  entry: { main: './www/main.ts', 'service-worker': './www/offline/service-worker.ts' },
  output: { path: path('www/dist'), filename: '[name].js', assetModuleFilename: 'assets/[name]-[contenthash:8][ext]', clean: true },
  module: {
    rules: [
      typescript('www/tsconfig.json'),
      { test: /(www|extension)[\\/].+\.(html|css|svg|webmanifest)$/, type: 'asset/resource', generator: { filename: '[name][ext]' } },
      { test: /tiny-math[\\/]README\.md$/, type: 'asset/resource', generator: { filename: 'assets/tiny-math.md' } },
      // KaTeX's style sheet names its fonts relative to itself.
      { test: /katex\.min\.css$/, type: 'asset/resource', generator: { filename: 'katex/[name][ext]' } },
      { test: /KaTeX_[\w-]+\.woff2$/, type: 'asset/resource', generator: { filename: 'katex/fonts/[name][ext]' } },
    ],
  },
  resolve: { extensionAlias, alias: { 'qwen3-web$': path('pkg/index.js') } },
  plugins: [listShell],
  performance: false,
};

const { version } = JSON.parse(readFileSync(path('pkg/package.json'), 'utf8'));

/** What stands in the extension's manifest besides extension/manifest.json, for each family of browsers. */
const manifests = {
  chromium: ({ permissions, ...manifest }) => ({
    ...manifest,
    minimum_chrome_version: '116',
    permissions: [...permissions, 'sidePanel'],
    background: { service_worker: 'background.js' },
    side_panel: { default_path: 'panel.html' },
    // The panel is isolated, so that threads can share its memory.
    cross_origin_embedder_policy: { value: 'require-corp' },
    cross_origin_opener_policy: { value: 'same-origin' },
  }),
  firefox: (manifest) => ({
    ...manifest,
    background: { scripts: ['background.js'] },
    sidebar_action: { default_panel: 'panel.html', default_title: 'qwen3-web', default_icon: manifest.icons, open_at_install: false },
    browser_specific_settings: {
      gecko: { id: 'qwen3-web@qwen3-web.example', strict_min_version: '140.0', data_collection_permissions: { required: ['none'] } },
    },
  }),
};

const extension = (browser) => ({
  ...page,
  name: browser,
  devtool: false,
  entry: { panel: './extension/panel.ts', background: './extension/background.ts', reader: './extension/reader.ts' },
  output: { ...page.output, path: path(`extension/dist/${browser}`) },
  plugins: [
    new CopyPlugin({
      patterns: [
        { from: 'extension/icons/*.png', to: 'icons/[name][ext]' },
        { from: 'extension/_locales', to: '_locales' },
        {
          from: 'extension/manifest.json',
          transform: (content) => JSON.stringify({ ...manifests[browser](JSON.parse(content)), version }, undefined, 2),
        },
      ],
    }),
  ],
});

export default [library, page, extension('chromium'), extension('firefox')];
