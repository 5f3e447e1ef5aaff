// A short soak; `node tests/browser/soak.mjs` is the long one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak.mjs';

// A browser that no longer starts anything must not hold up the other tests.
test('10 random runs end with the right bytes or with a typed error', { timeout: 600_000 }, async () => {
  const { loaded, failed } = await soak(10, 42);
  assert.equal(loaded + Object.values(failed).reduce((sum, count) => sum + count, 0), 10);
  assert.ok(loaded > 0);
});
