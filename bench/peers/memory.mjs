// How much memory a browser holds, seen from outside.

import { readdirSync, readFileSync } from 'node:fs';

/** What a file of /proc says; nothing if its process has ended or is not ours to look at. */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Bytes of the processes that have the profile's folder on their command line, and of those they started, pages that several
 * share divided among them; nothing where there is no /proc.
 */
export function memoryOf(profile) {
  if (read('/proc/self/stat') === '') return undefined;
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((pid) => {
    const stat = read(`/proc/${pid}/stat`);
    return { pid, parent: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1], line: read(`/proc/${pid}/cmdline`) };
  });
  const ours = new Set(processes.filter(({ line }) => line.includes(profile)).map(({ pid }) => pid));
  for (let before = -1; before !== ours.size;) {
    before = ours.size;
    for (const { pid, parent } of processes) if (ours.has(parent)) ours.add(pid);
  }
  const kilobytes = [...ours].map((pid) => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0));
  return kilobytes.reduce((sum, one) => sum + one, 0) * 1024;
}
