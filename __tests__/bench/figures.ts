/** A figure of several rounds. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Of many values of one round. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  /** `undefined` when there are too few values to speak of one in a hundred. */
  readonly p99: number | undefined;
}

const ENOUGH_FOR_P99 = 100;

/** Sorts the values in place. */
export function percentiles(values: number[]): Percentiles {
  values.sort((a, b) => a - b);
  const at = (share: number): number =>
    values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
  return {
    count: values.length,
    p50: at(0.5),
    p99: values.length < ENOUGH_FOR_P99 ? undefined : at(0.99),
  };
}

/** Median, lowest and highest; `undefined` of nothing. */
export function spreadOf(values: readonly (number | undefined)[]): Spread | undefined {
  const sorted = values.filter(
    (value) => value !== undefined && Number.isFinite(value),
  ) as number[];
  sorted.sort((a, b) => a - b);
  const [low] = sorted;
  const high = sorted.at(-1);
  if (low === undefined || high === undefined) return undefined;
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? low) + (sorted[Math.ceil(middle)] ?? high)) / 2;
  return { median, low, high };
}

/**
 * Ratios round by round, before their median is taken: what disturbs a round disturbs both sides.
 */
export function ratios(
  values: readonly (number | undefined)[],
  bases: readonly (number | undefined)[],
): (number | undefined)[] {
  return values.map((value, round) => {
    const base = bases[round];
    return value === undefined || base === undefined || base === 0 ? undefined : value / base;
  });
}
