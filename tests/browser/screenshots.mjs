// Takes pictures of the demo page's main states with its own model: node tests/browser/screenshots.mjs FOLDER [PROMPT]

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open, ROOT } from './chromium.mjs';
import { serve } from './server.mjs';

const [folder, prompt = 'What is 7 × 8 + 12?'] = process.argv.slice(2);
if (folder === undefined) throw new Error('name the folder for the pictures');
mkdirSync(folder, { recursive: true });

const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1100, height: 800 } },
  dark: { colorScheme: 'dark', viewport: { width: 1100, height: 800 } },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 780 }, deviceScaleFactor: 2 },
};

const server = await serve({ '/': `${ROOT}www/dist/` });
for (const [look, options] of Object.entries(LOOKS)) {
  const context = await launch(options);
  const page = await open(context, `${server.url}/`);
  const take = (state) => page.screenshot({ path: join(folder, `${look}-${state}.png`) });
  await page.evaluate(() => window.qwen3Demo.ready);
  await take('welcome');
  await page.fill('#prompt', prompt);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.thoughts:not([hidden]), .answer:not(:empty)');
  await page.waitForTimeout(300);
  await take('running');
  // A model that never ends is stopped.
  await page.waitForSelector('.stats', { timeout: 20_000 }).catch(() => page.click('#stop'));
  await page.waitForSelector('.stats');
  await take('answer');
  await page.click('#open-models');
  await page.waitForSelector('#catalogue li');
  await take('models');
  await context.close();
}
await server.close();
