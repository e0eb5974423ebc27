import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { ROOT } from '../helpers/program.ts';
import { plot } from './plot.ts';
import { page, totals } from './report.ts';
import { soak } from './soak.ts';

const minutes = Number(process.env['SOAK_MINUTES'] ?? '10');
const seed = Number(process.env['SOAK_SEED'] ?? '7');

/** Shorter ones tell less than what the docs have. */
const TOLD_MINUTES = 5;

test(
  'mixed load with everything going wrong leaves nothing behind and loses nothing',
  async () => {
    const result = await soak(minutes, seed);
    if (minutes >= TOLD_MINUTES) {
      await writeFile(path.join(ROOT, 'docs/soak.md'), page(result));
      await writeFile(path.join(ROOT, 'docs/soak.svg'), plot(result));
    }
    expect(result.faults).toEqual([]);
    const { answered = 0, refused = 0, left = 0 } = totals(result);
    expect(result.requests).toBeGreaterThan(100);
    expect(answered).toBeGreaterThan(result.requests / 2);
    // Else nothing of all that has happened.
    expect(refused).toBeGreaterThan(0);
    expect(left).toBeGreaterThan(0);
    expect(result.after.residentBytes).toBeLessThan(2 * result.warm.residentBytes);
  },
  60_000 + 90_000 * minutes,
);
