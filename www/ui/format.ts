// Numbers as people read them.

const UNITS = ['bytes', 'kB', 'MB', 'GB'];

/** 396705472 is `397 MB`. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${UNITS[unit] ?? ''}`;
}

/** 0.042 is `42 ms`, 1.42 is `1.4 s`, 83 is `1 min 23 s`. */
export function seconds(value: number): string {
  if (value < 0.1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  const whole = Math.round(value);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** 31.42 is `31.4`, 312.4 is `312`. */
export function rate(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}
