// The page: measures the chosen contenders in turns, each in a frame of its own, and draws the medians as bars.

import { environment, FIGURES, median, suites } from './contenders.mjs';

const element = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
/** What the command was told to measure instead, in the page's address: `?suite={"model": …}`. */
const asked = new URLSearchParams(location.search).get('suite');
const all = asked === null ? suites((await environment()).adapter) : [JSON.parse(asked)];

const title = ({ model, promptTokens, tokens }) => `The ${model} checkpoint, a prompt of about ${promptTokens} tokens, ${tokens} more`;
element('suites').replaceChildren(...all.map((suite, place) => make('fieldset', {}, make('legend', { textContent: title(suite) }), ...suite.contenders.map((contender) => (
  make('label', {}, make('input', { type: 'checkbox', name: 'contender', value: `${place} ${contender}`, checked: true }), ` ${contender}`)
)))));

/** A call of the harness in a frame that is thrown away. */
async function inFrame(call, settings) {
  const frame = make('iframe', { hidden: true, src: '/frame.html' });
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  document.body.append(frame);
  await loaded;
  try {
    return await frame.contentWindow.harness[call](settings);
  } finally {
    frame.remove();
  }
}

const json = async (path) => await (await fetch(path)).json();

/** One contender once. What the libraries weigh is seen in the first round only: then the browser has them. */
async function once(settings) {
  await json('/library.json');
  const figures = await inFrame('measure', settings);
  const library = await json('/library.json');
  return { ...figures, ...(library.libraryBytes > 0 ? library : {}), ...await inFrame('loadAgain', settings) };
}

function row(contender, content) {
  return make('div', { className: contender.startsWith('qwen3-web') ? 'row ours' : 'row' }, contender, content);
}

function drawFigure({ name, title: heading, unit, one, more }, results) {
  const values = [...results].map(([contender, { rounds }]) => [contender, median(rounds.map((figures) => figures[name])) / one]).filter(([, value]) => Number.isFinite(value));
  if (values.length === 0) return [];
  const largest = Math.max(...values.map(([, value]) => value));
  return [
    make('h3', { textContent: `${heading}, ${unit} (${more ? 'more' : 'less'} is better)` }),
    ...values.map(([contender, value]) => {
      const bar = make('div', { className: 'bar' });
      bar.style.width = `${(value / largest) * 80}%`;
      return row(contender, make('span', {}, bar, value.toPrecision(3)));
    }),
  ];
}

/** Draws what is known so far; `results`: by suite, by contender, `{ rounds, error? }`. */
function draw(results) {
  element('results').replaceChildren(...[...results].flatMap(([suite, contenders]) => [
    make('h2', { textContent: title(suite) }),
    ...FIGURES.flatMap((figure) => drawFigure(figure, contenders)),
    ...[...contenders].filter(([, { error }]) => error !== undefined).map(([contender, { error }]) => (
      row(contender, make('span', { className: 'failed', textContent: `does not run here: ${error}`, style: 'white-space: normal' }))
    )),
  ]));
}

async function run(chosen, rounds) {
  const results = new Map(all.map((suite, place) => [suite, new Map(chosen.filter(([at]) => at === place).map(([, contender]) => [contender, { rounds: [] }]))]));
  const turns = [...results].flatMap(([suite, contenders]) => Array.from({ length: rounds }, (_, round) => [...contenders].map((entry) => [suite, round, ...entry])).flat());
  for (const [done, [suite, round, contender, result]] of turns.entries()) {
    element('status').value = `${contender}, round ${round + 1} of ${rounds}`;
    const { contenders, ...sizes } = suite;
    try {
      if (result.error === undefined) result.rounds.push(await once({ contender, ...sizes }));
    } catch (error) {
      result.error = String(error);
    }
    element('progress').value = (done + 1) / turns.length;
    draw(results);
  }
}

element('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  const chosen = new FormData(event.target).getAll('contender').map((value) => [Number(value.slice(0, value.indexOf(' '))), value.slice(value.indexOf(' ') + 1)]);
  button.disabled = true;
  element('progress').value = 0;
  await run(chosen, element('rounds').valueAsNumber);
  element('status').value = 'done';
  button.disabled = false;
});
