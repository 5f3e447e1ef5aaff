// Takes pictures of the sidebar's main states beside an article, with its own model: node tests/browser/sidebar-screenshots.mjs FOLDER

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './chromium.mjs';
import { serve } from './server.mjs';
import { launchWithExtension, SidePanel } from './side-panel.mjs';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('name the folder for the pictures');
mkdirSync(folder, { recursive: true });

const server = await serve({ '/pages/': `${ROOT}tests/fixtures/pages/` });
for (const look of ['light', 'dark']) {
  const extension = await launchWithExtension({ colorScheme: look, args: ['--window-size=1100,800'] });
  const page = await extension.context.newPage();
  await page.setViewportSize({ width: 740, height: 700 });
  await page.goto(`${server.url}/pages/article.html`);
  const panel = await SidePanel.open(extension, page);
  await panel.emulate(look);
  const take = async (state) => {
    // Until what moves has come to rest.
    await new Promise((resolve) => setTimeout(resolve, 400));
    const name = join(folder, `sidebar-${look}-${state}.png`);
    await panel.screenshot(name);
    return name;
  };
  await panel.waitFor(() => document.querySelector('#model-dot[data-state="ready"]') !== null);
  await take('welcome');
  await panel.click('.page-bar button');
  await panel.waitFor(() => document.querySelector('.page-bar [aria-pressed="true"]') !== null);
  await panel.type('#prompt', 'How often do tides come?');
  await beside(page, await take('page'), join(folder, `sidebar-${look}.png`));
  await panel.press('Enter');
  await panel.waitFor(() => document.querySelector('.thoughts, .answer') !== null);
  await take('running');
  // A model that never ends is stopped.
  await panel.waitFor(() => document.querySelector('.stats') !== null, undefined, 20_000).catch(() => panel.press('Escape'));
  await panel.waitFor(() => document.querySelector('.stats') !== null);
  await take('answer');
  await panel.click('#open-models');
  await take('models');
  await extension.context.close();
}
await server.close();

/** The page with the panel at its side, as the window shows them. */
async function beside(page, panel, name) {
  const left = (await page.screenshot()).toString('base64');
  const right = readFileSync(panel).toString('base64');
  const sheet = await page.context().newPage();
  await sheet.setViewportSize({ width: 1100, height: 700 });
  await sheet.setContent(`<body style="margin: 0; display: flex; align-items: start">${[left, right].map((image) => `<img src="data:image/png;base64,${image}">`).join('')}</body>`);
  await sheet.screenshot({ path: name });
  await sheet.close();
}
