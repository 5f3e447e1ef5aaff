// The speed over a reply as a small chart: thinking, then answer, in tokens a second.

import { svg } from '../ui/dom.js';
import { rate } from '../ui/format.js';
import { label } from '../ui/messages.js';

const WIDTH = 300;
const HEIGHT = 72;

/** A new chart of speeds at equal distances; `answerFrom` is where the answer begins. */
export function speedChart(speeds: readonly number[], answerFrom: number | undefined): SVGSVGElement {
  const most = Math.max(1, ...speeds);
  const x = (place: number): number => (speeds.length < 2 ? 0 : (place / (speeds.length - 1)) * WIDTH);
  const y = (speed: number): number => HEIGHT - (speed / most) * (HEIGHT - 6) - 1;
  const line = (from: number, to: number): string => speeds.slice(from, to + 1).map((speed, index) => `${x(from + index).toFixed(1)},${y(speed).toFixed(1)}`).join(' ');
  const chart = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'chart', role: 'img', preserveAspectRatio: 'none' });
  label(chart, 'chartLabel', { most: rate(most) });
  const turn = Math.min(answerFrom ?? speeds.length, speeds.length);
  if (turn > 0) chart.append(svg('polyline', { points: line(0, turn), class: 'chart-thinking' }));
  if (turn < speeds.length) chart.append(svg('polyline', { points: line(turn, speeds.length - 1), class: 'chart-answer' }));
  return chart;
}
