// Draws the extension's icons from the demo page's: node extension/icons/draw.mjs

import { readFileSync } from 'node:fs';
import { launch } from '../../tests/browser/chromium.mjs';

const svg = readFileSync(new URL('../../www/icon.svg', import.meta.url), 'utf8');
const context = await launch();
const page = await context.newPage();
for (const size of [16, 32, 48, 128]) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>body { margin: 0 } svg { display: block; width: 100vw; height: 100vh }</style>${svg}`);
  await page.screenshot({ path: new URL(`${size}.png`, import.meta.url).pathname, omitBackground: true });
}
await context.close();
