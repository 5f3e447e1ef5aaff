// The page: runs the chosen contenders in turns, each in a frame of its own, and draws the medians as bars.

import { CONTENDERS } from './contenders.mjs';

const FIGURES = [
  { name: 'decodeTokensPerSecond', title: 'Decode, tokens per second (more is better)' },
  { name: 'prefillTokensPerSecond', title: 'Prefill of about 128 tokens, tokens per second (more is better)' },
  { name: 'firstTokenMs', title: 'Time to the first token, milliseconds (less is better)' },
  { name: 'loadMs', title: 'Load, milliseconds (less is better; the first one downloads)' },
];
const element = (id) => document.getElementById(id);

for (const name of Object.keys(CONTENDERS)) {
  const box = Object.assign(document.createElement('input'), { type: 'checkbox', name: 'contender', value: name, checked: !name.includes('webgpu') });
  const label = document.createElement('label');
  label.append(box, ` ${name}`);
  element('contenders').append(label);
}

const notText = await (await fetch('/not-text.json')).json();

/** One measurement, in a frame that is thrown away. */
async function measure(contender) {
  const frame = document.createElement('iframe');
  frame.hidden = true;
  frame.src = '/frame.html';
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  document.body.append(frame);
  await loaded;
  try {
    return await frame.contentWindow.contenders.measure({ contender, model: '/model.gguf', notText, promptTokens: 128, tokens: 32 });
  } finally {
    frame.remove();
  }
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

function draw(rounds) {
  const measured = Object.entries(rounds).filter(([, list]) => list.length > 0);
  element('results').replaceChildren(...FIGURES.flatMap(({ name, title }) => {
    const values = measured.map(([contender, list]) => [contender, median(list.map((figures) => figures[name]))]);
    const largest = Math.max(...values.map(([, value]) => value));
    const heading = Object.assign(document.createElement('h2'), { textContent: title });
    return [heading, ...values.map(([contender, value]) => {
      const row = Object.assign(document.createElement('div'), { className: 'row' });
      const bar = Object.assign(document.createElement('div'), { className: 'bar' });
      bar.style.width = `${(value / largest) * 80}%`;
      const cell = document.createElement('span');
      cell.append(bar, value.toFixed(value < 100 ? 1 : 0));
      row.append(contender, cell);
      return row;
    })];
  }));
}

element('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  const contenders = [...new FormData(event.target).getAll('contender')];
  const rounds = Object.fromEntries(contenders.map((contender) => [contender, []]));
  const total = element('rounds').valueAsNumber * contenders.length;
  button.disabled = true;
  element('progress').value = 0;
  const failed = new Map();
  for (let done = 0; done < total; done++) {
    const contender = contenders[done % contenders.length];
    element('status').value = `${contender}, round ${Math.floor(done / contenders.length) + 1}`;
    try {
      if (!failed.has(contender)) rounds[contender].push(await measure(contender));
    } catch (error) {
      failed.set(contender, String(error));
    }
    element('progress').value = (done + 1) / total;
    draw(rounds);
  }
  element('status').value = ['done', ...Array.from(failed, ([contender, error]) => `${contender} does not run here: ${error}`)].join('; ');
  button.disabled = false;
});
