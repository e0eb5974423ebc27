import { expect } from '@jest/globals';
import type * as fc from 'fast-check';

/** The seed of the tests: what they find today they find tomorrow. */
const FIXED_SEED = 20_261_125;

/** One try takes some milliseconds: whatever is not over by then hangs. */
const TRY_MS = 15_000;

/**
 * How often a property is tried: `FUZZ_RUNS` times as often as in the tests, from `FUZZ_SEED` on
 * (`random`: another one each time, which is printed). A failure tells its seed and path: as
 * `FUZZ_SEED` and `FUZZ_PATH`, with the one test file for a pattern, they play that case again and
 * look for a smaller one.
 *
 * @param usual - in the tests
 */
export function runs(usual: number): fc.Parameters<unknown> {
  const { FUZZ_RUNS = '1', FUZZ_SEED = String(FIXED_SEED), FUZZ_PATH } = process.env;
  const seed = FUZZ_SEED === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(FUZZ_SEED);
  // At once: nothing else would tell it when the process dies.
  if (FUZZ_SEED === 'random') process.stderr.write(`seed ${seed}: ${testName()}\n`);
  return {
    seed,
    numRuns: Math.ceil(usual * Number(FUZZ_RUNS)),
    timeout: TRY_MS,
    endOnFailure: FUZZ_PATH === undefined,
    ...(FUZZ_PATH === undefined ? {} : { path: FUZZ_PATH }),
  };
}

function testName(): string {
  return expect.getState().currentTestName ?? 'no test';
}

/** For a jest test with so many runs. */
export function patienceMs(): number {
  return 30_000 * Math.max(1, Number(process.env['FUZZ_RUNS'] ?? '1'));
}
