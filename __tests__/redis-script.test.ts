import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Ask, Report, ToldWindow } from '../lib/rate-gate/gate-store.ts';
import { newBucketState, newKeyState, step } from '../lib/rate-gate/policy.ts';
import type { BucketState } from '../lib/rate-gate/policy.ts';
import { SCRIPT } from '../lib/redis/script.ts';
import { decodeReply, encodeAsk } from '../lib/redis/wire-format.ts';
import { describeWithRedis, startRedis } from './helpers/redis.ts';
import type { TestRedis } from './helpers/redis.ts';
import { seeded } from './helpers/seeded.ts';

/** The script with a clock that the test sets: its last argument. */
const SCRIPT_WITH_CLOCK = SCRIPT.replace(
  /local time = .*\nlocal now = .*\n/,
  'local now = tonumber(table.remove(ARGV))\n',
);

interface Sent {
  readonly bucket: string;
  readonly seq: number;
  readonly at: number;
}

/** An upstream that sometimes tells the truth. */
class Upstream {
  readonly #chance: () => number;
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #tells: boolean;
  #startedAt = 0;
  #used = 0;

  constructor(chance: () => number) {
    this.#chance = chance;
    this.#limit = this.#pick(1, 5, 20, 100);
    this.#windowMs = this.#pick(1_000, 2_000, 5_000, 60_000);
    this.#tells = chance() < 0.7;
  }

  answer({ seq, at }: Sent, now: number): Report {
    if (now >= this.#startedAt + this.#windowMs) {
      this.#startedAt = now;
      this.#used = 0;
    }
    const about = { seq: this.#chance() < 0.03 ? 0 : seq, at };
    const told = this.#tells ? this.#told(now) : {};
    const dice = this.#chance();
    if (dice < 0.05) return { ...about, outcome: 'gone' };
    if (dice < 0.08) return { ...about, outcome: 'unsent' };
    if (dice < 0.1) return { ...about, outcome: 'blocked', budget: this.#pick(undefined, 20, 50) };
    if (dice < 0.16) return { ...about, outcome: 'failed', ...told };
    const backoffMs = Math.floor(this.#chance() * 2_000);
    if (this.#used >= this.#limit) {
      const attempt = this.#pick(undefined, 1, 2, 3);
      const requests = told.requests && { ...told.requests, remaining: 0 };
      return { ...about, outcome: 'refused', ...told, requests, backoffMs, attempt };
    }
    if (dice < 0.24) {
      return { ...about, outcome: 'refused', ...told, backoffMs, attempt: this.#pick(1, 2, 5) };
    }
    this.#used += 1;
    return { ...about, outcome: 'served', ageMs: this.#pick(undefined, 0, 500), ...told };
  }

  #told(now: number): Pick<Report, 'requests' | 'tokens'> {
    const round = this.#pick(Math.ceil, Math.floor);
    const resetMs = round((this.#startedAt + this.#windowMs - now) / 1_000) * 1_000;
    const requests: ToldWindow = {
      limit: this.#chance() < 0.02 ? this.#pick(0, 1e15, 7) : this.#limit,
      remaining: Math.max(0, this.#limit - this.#used - 1),
      resetMs: this.#chance() < 0.1 ? this.#pick(undefined, -1_500, 9e5, 1e9) : resetMs,
    };
    const tokens: ToldWindow = {
      limit: 1_000,
      remaining: this.#pick(0, 1, 500, 990),
      resetMs: 1_000 * Math.floor(this.#chance() * 60),
    };
    return { requests, tokens: this.#chance() < 0.5 ? tokens : undefined };
  }

  #pick<Value>(...values: readonly [Value, ...Value[]]): Value {
    return values[Math.floor(this.#chance() * values.length)] ?? values[0];
  }
}

describeWithRedis('the script in Redis and the policy in TypeScript', () => {
  let server: TestRedis;
  let client: Redis;

  beforeAll(async () => {
    server = await startRedis();
    client = new Redis(server.port);
    client.on('error', () => {});
  });

  afterAll(async () => {
    client.disconnect();
    await server.close();
  });

  test.each(Array.from({ length: 40 }, (_, i) => i + 1))(
    'decide alike whatever happens: story %d',
    async (seed) => {
      const chance = seeded(seed);
      const upstream = new Upstream(chance);
      const key = newKeyState();
      const buckets = new Map<string, BucketState>();
      const id = `{story-${seed}}`;
      let sent: Sent[] = [];
      let now = 1_764_000_000_000;
      let granted = 0;
      for (let i = 0; i < 150; i += 1) {
        const dice = chance();
        now += Math.floor(
          chance() * (dice < 0.4 ? 20 : dice < 0.7 ? 300 : dice < 0.95 ? 3e3 : 4e4),
        );
        const name = chance() < 0.75 ? 'a' : 'b';
        const answered = sent.filter(({ bucket }) => bucket === name && chance() < 0.4);
        sent = sent.filter((each) => !answered.includes(each));
        const ask: Ask = {
          key: id,
          bucket: name,
          want: [0, 1, 3, 30][Math.floor(chance() * 4)] ?? 0,
          reports: answered.map((each) => upstream.answer(each, now)),
          budgetWindowMs: chance() < 0.7 ? 30_000 : 5_000,
        };
        const bucket = buckets.get(name) ?? newBucketState(now);
        buckets.set(name, bucket);
        const reply = step(key, bucket, ask, { now, peers: 1 });
        // oxlint-disable-next-line no-await-in-loop -- one step after another
        const told = await client.call(
          'EVAL',
          SCRIPT_WITH_CLOCK,
          '2',
          id,
          `${id}:${name}`,
          ...encodeAsk(ask, 'test'),
          String(now),
        );
        expect(decodeReply(told, ask.want)).toEqual(reply);
        for (let n = 0; n < reply.granted; n += 1) {
          sent.push({ bucket: name, seq: reply.firstSeq + n, at: now });
        }
        granted += reply.granted;
      }
      expect(granted).toBeGreaterThan(0);
    },
  );
});
