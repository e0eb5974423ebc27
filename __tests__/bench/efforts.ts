import type { Effort } from './bench.ts';

/** Requests in an hour and in a day at 500 a minute, Venice's highest limit for a model. */
const HOUR = 500 * 60;
const DAY = 24 * HOUR;

/** What the figures in the docs are made with. */
export const FULL: Effort = {
  rounds: 5,
  seconds: 2,
  warmUpSeconds: 4,
  renewsSubjects: true,
  streams: 1_000,
  crowd: 5_000,
  windowSeconds: 12,
  growth: {
    concurrency: [1, 3, 10, 30, 100, 300, 1_000],
    buckets: [1, 10, 100, 1_000, 10_000],
    requests: [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY],
  },
};

/** Whether everything runs and all bytes are right; the figures are worth nothing. */
export const QUICK: Effort = {
  rounds: 1,
  seconds: 0.1,
  warmUpSeconds: 0,
  renewsSubjects: false,
  streams: 20,
  crowd: 50,
  windowSeconds: 1.5,
  growth: { concurrency: [1, 4], buckets: [1, 10], requests: [50, 100] },
};
