// A short soak; `node tests/browser/soak.mjs` is the long one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak.mjs';

// Firefox takes several times as long for one.
const RUNS = process.env.BROWSER === 'firefox' ? 4 : 10;

// A browser that no longer starts anything must not hold up the other tests.
test(`${RUNS} random runs end with the right bytes or with a typed error`, { timeout: 600_000 }, async () => {
  const { loaded, failed } = await soak(RUNS, 42);
  assert.equal(loaded + Object.values(failed).reduce((sum, count) => sum + count, 0), RUNS);
  assert.ok(loaded > 0);
});
