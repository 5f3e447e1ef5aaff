// What the benches print and keep: tables of plain text, and JSON.

import { writeFileSync } from 'node:fs';
import os from 'node:os';

/** Prints rows of cells under a head, the first column to the left, all others to the right. */
export function printTable(head, rows) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  for (const row of cells) {
    console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ').trimEnd());
  }
}

/** A number in three digits, or a dash for what was not measured. */
export const number = (value) => (Number.isFinite(value) ? String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3))) : '–');

/** Writes figures as JSON, with the day and the machine. */
export function keep(file, figures) {
  const machine = { processor: os.cpus()[0]?.model, cores: os.cpus().length, load: os.loadavg()[0] };
  writeFileSync(file, `${JSON.stringify({ date: new Date().toISOString(), machine, ...figures }, undefined, 1)}\n`);
}
