// A short soak; `node tests/browser/soak.mjs` is the long one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak.mjs';

test('10 random runs end with the right bytes or with a typed error', async () => {
  const { loaded, failed } = await soak(10, 42);
  assert.equal(loaded + Object.values(failed).reduce((sum, count) => sum + count, 0), 10);
  assert.ok(loaded > 0);
});
