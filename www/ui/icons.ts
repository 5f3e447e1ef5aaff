// The page's icons: strokes on a grid of 24 by 24, drawn in the colour of the text around them.

import { svg } from './dom.js';

const PATHS = {
  plus: 'M12 5v14M5 12h14',
  menu: 'M4 7h16M4 12h16M4 17h10',
  send: 'M12 19V5M6 11l6-6 6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  stop: 'M7 7h10v10H7z',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  edit: 'M4 20h4L19 9l-4-4L4 16v4z',
  again: 'M19 12a7 7 0 1 1-2-4.9M19 4v4h-4',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  tune: 'M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4',
  gauge: 'M4 17a8 8 0 1 1 16 0M12 16l4-5',
  pulse: 'M3 12h4l3-7 4 14 3-7h4',
  chat: 'M5 5h14v11H10l-5 4z',
  columns: 'M5 5h6v14H5zM13 5h6v14h-6z',
  close: 'M6 6l12 12M18 6L6 18',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5l11 7-11 7z',
  file: 'M6 4h8l4 4v12H6zM14 4v4h4',
  cube: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9',
} as const;

/** The name of an icon. */
export type IconName = keyof typeof PATHS;

/** A new icon; what it stands for is said by the text or the label of what holds it. */
export function icon(name: IconName): SVGSVGElement {
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: PATHS[name] }));
}
