import { describe, expect, it } from '@jest/globals';
import { validate, version } from 'uuid';
import { newId } from '../src/database/new-id.js';

describe('Ids', () => {
  const from = Date.now();
  const ids = Array.from({ length: 20_000 }, newId);

  it('are UUIDs of version 7, each after the one before, with the time of their making', () => {
    expect(ids.filter((id) => !validate(id) || version(id) !== 7)).toEqual([]);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    const times = ids.map((id) => parseInt(id.slice(0, 8) + id.slice(9, 13), 16));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(from);
    // 20,000 in one millisecond would borrow from the next four.
    expect(Math.max(...times)).toBeLessThanOrEqual(Date.now() + 5);
  });

  it('have 62 random bits', () => {
    const tails = ids.map((id) => id.slice(19));
    expect(new Set(tails).size).toBe(ids.length);
    for (let digit = 1; digit < tails[0]!.length; digit++) {
      if (digit === 4) continue;
      expect(new Set(tails.map((tail) => tail[digit])).size).toBe(16);
    }
  });
});
