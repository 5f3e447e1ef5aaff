// Lighthouse's scores of the demo page, and what it finds wrong, as JSON: node bench/lighthouse.mjs
//
// Build first (`cargo xtask build`). Lighthouse is fetched by npx: it brings more packages than the rest of this repository.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { executable, ROOT } from '../tests/browser/chromium.mjs';
import { serve } from '../tests/browser/server.mjs';

const VERSION = '12.8.2';
/** The categories, of which each must reach the score. */
const CATEGORIES = ['accessibility', 'best-practices'];
const LEAST = 0.95;

const server = await serve({ '/': `${ROOT}www/dist/` });
const figures = {};
for (const form of ['mobile', 'desktop']) {
  const { stdout } = await promisify(execFile)('npx', [
    '--yes', `lighthouse@${VERSION}`, `${server.url}/`, '--quiet', '--output=json', `--only-categories=${CATEGORIES}`,
    '--chrome-flags=--headless=new --no-sandbox', ...(form === 'desktop' ? ['--preset=desktop'] : []),
  ], { maxBuffer: 2 ** 28, env: { ...process.env, CHROME_PATH: executable() } });
  const { categories, audits } = JSON.parse(stdout);
  const scores = Object.fromEntries(CATEGORIES.map((name) => [name, categories[name].score]));
  const faults = Object.values(audits).filter(({ score }) => score !== null && score < 1).map(({ id, title }) => `${id}: ${title}`);
  figures[form] = { scores, faults };
}
await server.close();
console.log(JSON.stringify(figures, undefined, 1));
process.exitCode = Object.values(figures).every(({ scores }) => Object.values(scores).every((score) => score >= LEAST)) ? 0 : 1;
