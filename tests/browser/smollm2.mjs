// Talks with SmolLM2 on the demo page and takes a picture: node tests/browser/smollm2.mjs GGUF cpu|webgpu PICTURE [MAX_TOKENS]

import { sendFile } from './server.mjs';
import { ask, startDemo } from './demo.mjs';

const [file, device, picture, maxTokens = '160'] = process.argv.slice(2);
if (picture === undefined) throw new Error('name the GGUF, the device and the picture');
const QUESTIONS = ['What is the capital of France?', 'Name two things one can see there.'];

const demo = await startDemo({ webgpu: device === 'webgpu', colorScheme: 'light', viewport: { width: 1200, height: 780 } });
demo.server.routes.set('/SmolLM2-135M-Instruct.gguf', (request, response) => void sendFile(request, response, file));
const page = await demo.open('?model=/none.gguf');
page.setDefaultTimeout(3_600_000);
await page.evaluate((maxTokens) => {
  // The likeliest tokens: at a temperature so small a model speaks French to some seeds, on every device.
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, presencePenalty: 0 };
  localStorage.setItem('qwen3-web-settings', JSON.stringify({ maxTokens, preset: 'custom', sampling, contextLength: 1024 }));
}, Number(maxTokens));
await page.goto(`${demo.server.url}/sub/path/?model=/SmolLM2-135M-Instruct.gguf&device=${device}`);
await page.evaluate(() => window.qwen3Demo.ready);
for (const question of QUESTIONS) await ask(page, question);
await page.screenshot({ path: picture });
console.log(await page.locator('main').innerText());
await demo.close();
