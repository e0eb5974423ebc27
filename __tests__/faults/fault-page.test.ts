import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ROOT } from '../helpers/program.ts';
import { MEANINGLESS } from './combinations.ts';
import { ALL_KINDS, MATRIX, cellsOf } from './matrix.ts';
import { faultPage } from './page.ts';
import { FAULTS, PHASES } from './vocabulary.ts';
import type { FaultName, Phase } from './vocabulary.ts';

describe('the matrix', () => {
  const phases = Object.keys(PHASES) as Phase[];
  const faults = Object.keys(FAULTS) as FaultName[];

  test('has each fault in each phase, or says why not', () => {
    for (const phase of phases) {
      for (const fault of faults) {
        const isThere = MATRIX.some((row) => row.phase === phase && row.fault === fault);
        const isMeaningless = MEANINGLESS[phase][fault] !== undefined;
        expect([phase, fault, isThere !== isMeaningless]).toEqual([phase, fault, true]);
      }
    }
  });

  test('has each kind of request in each row, but for a GET that sends a body', () => {
    for (const row of MATRIX) {
      const kinds = ALL_KINDS.filter((kind) => row.phase !== 'sending' || kind !== 'get');
      expect(cellsOf(row).map(([kind]) => kind)).toEqual(kinds);
    }
  });
});

test('docs/faults.md shows the matrix as it is', async () => {
  const page = await readFile(path.join(ROOT, 'docs/faults.md'), 'utf8');
  expect(page).toBe(faultPage());
});
