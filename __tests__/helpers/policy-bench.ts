import type { Reply, Report, ToldWindow } from '../../lib/rate-gate/gate-store.ts';
import { newBucketState, newKeyState, step } from '../../lib/rate-gate/policy.ts';
import type { BucketState } from '../../lib/rate-gate/policy.ts';

const START = Date.parse('2026-09-01T12:00:00Z');

/** One key and its models, with a clock that is set by hand. */
export class PolicyBench {
  readonly key = newKeyState();
  readonly peers: number;
  /** Milliseconds since the start. */
  now = 0;
  readonly #buckets = new Map<string, BucketState>();

  constructor(peers = 1) {
    this.peers = peers;
  }

  /** At `now`: so many want to go, and so much is reported. */
  ask(want: number, reports: readonly Report[] = [], bucket = 'model'): Reply {
    const now = START + this.now;
    const state = this.#buckets.get(bucket) ?? newBucketState(now);
    this.#buckets.set(bucket, state);
    const ask = { key: 'key', bucket, want, reports, budgetWindowMs: 30_000 };
    const context = { now, peers: this.peers };
    const before = state.seq;
    const reply = step(this.key, state, ask, context);
    if (state.seq !== before + reply.granted || reply.granted > want) throw new Error('miscounted');
    return { ...reply, at: reply.at - START };
  }

  /** What became of a request that was granted at `at`, since the start. */
  report(seq: number, at: number, what: Omit<Report, 'seq' | 'at'>): Report {
    return { seq, at: START + at, ...what };
  }

  served(seq: number, at: number, requests?: ToldWindow, tokens?: ToldWindow): Report {
    return this.report(seq, at, { outcome: 'served', requests, tokens });
  }

  refused(seq: number, at: number, requests?: ToldWindow): Report {
    return this.report(seq, at, { outcome: 'refused', requests });
  }

  state(bucket = 'model'): BucketState {
    const state = this.#buckets.get(bucket);
    if (state === undefined) throw new Error(`nobody has asked for ${bucket}`);
    return state;
  }
}

export const told = (limit: number, remaining: number, resetMs?: number): ToldWindow => ({
  limit,
  remaining,
  resetMs,
});
