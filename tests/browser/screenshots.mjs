// Takes pictures of the demo page's main states with its own model: node tests/browser/screenshots.mjs FOLDER [LOOK…]

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ask, begin, startDemo } from './demo.mjs';

const [folder, ...only] = process.argv.slice(2);
if (folder === undefined) throw new Error('name the folder for the pictures');
mkdirSync(folder, { recursive: true });

const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1200, height: 780 } },
  dark: { colorScheme: 'dark', viewport: { width: 1200, height: 780 } },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 780 }, deviceScaleFactor: 2 },
  chinese: { colorScheme: 'light', locale: 'zh-CN', viewport: { width: 1200, height: 780 } },
};

for (const [look, options] of Object.entries(LOOKS)) {
  if (only.length > 0 && !only.includes(look)) continue;
  const demo = await startDemo(options);
  const page = await demo.page();
  const take = (state) => page.screenshot({ path: join(folder, `${look}-${state}.png`) });
  await page.waitForTimeout(300);
  await take('welcome');
  await begin(page, 'Solve 2x² − 3x − 9 = 0');
  await page.waitForFunction(() => document.querySelector('.thoughts .text')?.textContent.length > 60);
  await take('thinking');
  await page.waitForSelector('.stats');
  // The rail is folded away on a phone.
  await page.evaluate(() => document.querySelector('#new-chat').click());
  await ask(page, 'Solve 3x² + 5x − 2 = 0');
  await page.locator('.thoughts summary').last().click();
  await page.waitForTimeout(200);
  await take('answer');
  for (const panel of ['inspector', 'settings']) {
    await page.click(`#open-${panel}`);
    await page.waitForTimeout(200);
    await take(panel);
    await page.locator(`#${panel} .dialog-head button`).click();
  }
  await page.click('#open-models');
  await page.waitForSelector('.catalogue li');
  await take('models');
  await page.keyboard.press('Escape');
  await page.evaluate(() => { location.hash = 'compare'; });
  await page.click('.compare .benchmark-row button');
  await page.waitForFunction(() => document.querySelectorAll('.sample tbody tr:last-child .mark').length === 2);
  await page.waitForTimeout(200);
  await take('compare');
  await page.evaluate(() => { location.hash = 'benchmark'; });
  await page.click('.benchmark .primary');
  await page.waitForSelector('.benchmark .icon-button >> visible=true');
  await take('benchmark');
  const rich = await demo.page('/rich.gguf');
  await ask(rich, 'Show me what an answer can hold');
  await rich.waitForSelector('.katex-display');
  await rich.waitForTimeout(500);
  await rich.screenshot({ path: join(folder, `${look}-rich.png`) });
  await demo.close();
}
