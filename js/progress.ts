// From byte counts to what a person wants to know: how fast it goes and how long it still takes.

import type { Progress } from './types.js';

/** Speed is that of the last moments, so that a stall shows and an early hiccup is forgotten. */
const WINDOW_MS = 4_000;
/** Reports of the same thing are at least this far apart. */
const INTERVAL_MS = 60;

/** Makes {@link Progress} reports from counts of loaded bytes. */
export class Meter {
  readonly #report: (progress: Progress) => void;
  #loadedBytes = 0;
  #samples: { at: number; bytes: number }[] = [];
  #last: { at: number; phase: Progress['phase']; file: string; fromCache: boolean } | undefined;
  #later: ReturnType<typeof setTimeout> | undefined;

  constructor(report: (progress: Progress) => void) {
    this.#report = report;
  }

  /** Reports a phase that counts no bytes: those of the last count stand, all loaded. */
  stage(phase: 'verify' | 'compile' | 'warmup', file: string): void {
    this.update(phase, file, this.#loadedBytes, this.#loadedBytes, true);
  }

  /** Takes a count; reports it unless the last report of the same phase and file was a moment ago. */
  update(phase: Progress['phase'], file: string, loadedBytes: number, totalBytes: number | undefined, fromCache: boolean): void {
    this.#loadedBytes = loadedBytes;
    const at = performance.now();
    const last = this.#last;
    if (last?.phase !== phase || last.fromCache !== fromCache) this.#samples = [];
    else if (last.file === file && at - last.at < INTERVAL_MS && loadedBytes !== totalBytes) {
      // What came in one burst is told even where nothing follows it.
      this.#later ??= setTimeout(() => {
        this.#later = undefined;
        this.update(phase, file, this.#loadedBytes, totalBytes, fromCache);
      }, INTERVAL_MS);
      return;
    }
    clearTimeout(this.#later);
    this.#later = undefined;
    this.#last = { at, phase, file, fromCache };
    this.#samples = [...this.#samples.filter((sample) => at - sample.at <= WINDOW_MS), { at, bytes: loadedBytes }];
    const [first = { at, bytes: loadedBytes }] = this.#samples;
    const bytesPerSecond = at > first.at ? Math.round(((loadedBytes - first.bytes) / (at - first.at)) * 1000) : 0;
    const progress: Progress = { phase, loadedBytes, fromCache, bytesPerSecond, file };
    if (totalBytes !== undefined) progress.totalBytes = totalBytes;
    if (totalBytes !== undefined && bytesPerSecond > 0) progress.etaSeconds = Math.max(0, totalBytes - loadedBytes) / bytesPerSecond;
    this.#report(progress);
  }
}
