import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { ROOT } from '../helpers/program.ts';
import { page, plot } from './report.ts';
import { soak } from './soak.ts';

const minutes = Number(process.env['SOAK_MINUTES'] ?? '10');

test(
  'mixed load with everything going wrong leaves nothing behind and loses nothing',
  async () => {
    const result = await soak(minutes, 7);
    // A short run has not seen everything before it is warm: it tells whether anything is lost.
    const isLong = minutes >= 5;
    expect(result.faults).toEqual([]);
    expect(result.requests).toBeGreaterThan(100);
    expect(result.endings['answered']).toBeGreaterThan(result.requests / 2);
    expect(result.after).toMatchObject({ sockets: 0, timers: 0 });
    const allowed = isLong ? 1.1 : 1.5;
    expect(result.after.heapBytes).toBeLessThan(allowed * result.warm.heapBytes);
    expect(result.after.residentBytes).toBeLessThan(allowed * result.warm.residentBytes);
    if (isLong) {
      await writeFile(path.join(ROOT, 'docs/soak.md'), page(result));
      await writeFile(path.join(ROOT, 'docs/soak.svg'), plot(result));
    }
  },
  60_000 + 90_000 * minutes,
);
