import type * as fc from 'fast-check';

/** The seed of the tests: what they find today they find tomorrow. */
const FIXED_SEED = 20_261_125;

/**
 * How often a property is tried: `FUZZ_RUNS` times as often as in the tests, from `FUZZ_SEED` on
 * (`random`: another one each time; a failure tells it).
 *
 * @param usual - in the tests
 */
export function runs(usual: number): fc.Parameters<unknown> {
  const { FUZZ_RUNS = '1', FUZZ_SEED = String(FIXED_SEED) } = process.env;
  const seed = FUZZ_SEED === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(FUZZ_SEED);
  return {
    seed,
    numRuns: Math.ceil(usual * Number(FUZZ_RUNS)),
    endOnFailure: true,
  };
}

/** For a jest test with so many runs. */
export function patienceMs(): number {
  return 30_000 * Math.max(1, Number(process.env['FUZZ_RUNS'] ?? '1'));
}
