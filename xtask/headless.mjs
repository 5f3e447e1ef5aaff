// Drives the demo page in a browser without a window: sends one prompt, prints the reply's events as JSON lines.

import { chromium } from 'playwright-core';

const [address, executablePath, prompt, device, model, options, screenshot] = process.argv.slice(2);

const location = new URL(address);
location.searchParams.set('device', device);
if (model !== '') location.searchParams.set('model', model);

/** A software adapter is no match for the CPU engine: it is offered only when WebGPU is insisted on. */
const gpuArguments = device === 'webgpu' ? ['--enable-unsafe-webgpu'] : [];
const browser = await chromium.launch({ executablePath, args: gpuArguments });
try {
  const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
  page.on('console', (message) => console.error(`page: ${message.text()}`));
  page.on('pageerror', (error) => console.error(`page: ${error.stack ?? error.message}`));
  await page.exposeFunction('printEvent', (event) => console.log(JSON.stringify(event)));
  await page.goto(location.href);
  await page.waitForFunction(() => globalThis.qwen3Demo !== undefined);
  await page.evaluate(
    async ([prompt, options]) => {
      for await (const event of globalThis.qwen3Demo.run(prompt, options)) await globalThis.printEvent(event);
    },
    [prompt, JSON.parse(options)],
  );
  if (screenshot !== '') {
    // Closed once the answer comes; a picture should show it.
    await page.evaluate(() => document.querySelectorAll('details.thoughts').forEach((panel) => { panel.open = true; }));
    await page.screenshot({ path: screenshot });
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
