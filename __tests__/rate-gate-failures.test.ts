import { describe, expect, test } from '@jest/globals';
import { PolicyBench, told } from './helpers/policy-bench.ts';

/** A bench whose key has just been blocked. */
function blocked(): PolicyBench {
  const bench = new PolicyBench();
  bench.ask(1);
  bench.ask(0, [bench.report(1, 0, { outcome: 'blocked' })]);
  return bench;
}

/** An upstream that takes five in 10 s and tells nothing; what is sent is answered at once. */
function play(untilMs: number): { served: number[]; refused: number[] } {
  const bench = new PolicyBench();
  const served: number[] = [];
  const refused: number[] = [];
  let openedAt = -Infinity;
  let used = 0;
  while (bench.now < untilMs) {
    const reply = bench.ask(100);
    const sentAt = bench.now;
    bench.now += 20;
    for (let seq = reply.firstSeq; seq < reply.firstSeq + reply.granted; seq += 1) {
      if (sentAt >= openedAt + 10_000) [openedAt, used] = [sentAt, 0];
      used += 1;
      if (used <= 5) {
        served.push(sentAt);
        bench.ask(0, [bench.served(seq, sentAt)]);
      } else {
        refused.push(sentAt);
        const report = { outcome: 'refused', backoffMs: 900, attempt: 1 } as const;
        bench.ask(0, [bench.report(seq, sentAt, report)]);
      }
    }
    if (reply.granted === 0) bench.now += reply.askAgainMs;
  }
  return { served, refused };
}

describe('the budget for failures', () => {
  test('is never used up by what is sent at once', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.now = 100;
    const reply = bench.ask(500, [bench.served(1, 0, told(1_000, 999, 60_000))]);
    expect(reply).toMatchObject({ granted: 20, reason: 'failed requests', askAgainMs: 1_000 });
  });

  test('has room again for those that were not refused within a second', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.ask(500, [bench.served(1, 0, told(1_000, 999, 60_000))]);
    bench.now = 999;
    expect(bench.ask(500).granted).toBe(0);
    bench.now = 1_000;
    expect(bench.ask(500).granted).toBe(20);
  });

  test('counts each failure for 30 s, and those of all models of the key', () => {
    const bench = new PolicyBench();
    for (let seq = 1; seq <= 20; seq += 1) {
      const bucket = `model ${seq}`;
      expect(bench.ask(1, [], bucket).granted).toBe(1);
      bench.ask(0, [bench.report(1, bench.now, { outcome: 'failed' })], bucket);
      bench.now += 100;
    }
    expect(bench.ask(1, [], 'another')).toMatchObject({
      granted: 0,
      reason: 'failed requests',
      opensMs: 28_000,
    });
    bench.now = 29_999;
    expect(bench.ask(1, [], 'another').granted).toBe(0);
    bench.now = 30_000;
    expect(bench.ask(1, [], 'another').granted).toBe(1);
  });

  test('counts what is told late from the time of the answer on', () => {
    const bench = new PolicyBench();
    bench.now = 50_000;
    const old = bench.report(0, 0, { outcome: 'failed', ageMs: 29_000 });
    bench.ask(
      0,
      Array.from({ length: 20 }, () => old),
    );
    expect(bench.ask(1)).toMatchObject({ granted: 0, opensMs: 1_000 });
  });

  test('is smaller for who has peers that do not tell', () => {
    const bench = new PolicyBench(4);
    bench.ask(1);
    expect(bench.ask(500, [bench.served(1, 0, told(1_000, 999, 60_000))]).granted).toBe(5);
  });

  test('is raised by what the text of a block says, up to a thousand', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.ask(0, [bench.report(1, 0, { outcome: 'blocked', budget: 50 })]);
    expect(bench.key.budget).toBe(50);
    bench.ask(0, [bench.report(0, 0, { outcome: 'blocked', budget: 10 })]);
    expect(bench.key.budget).toBe(50);
    bench.ask(0, [bench.report(0, 0, { outcome: 'blocked', budget: 999_999 })]);
    expect(bench.key.budget).toBe(1_000);
  });
});

describe('a blocked key', () => {
  test('sends nothing for 30 s, to no model', () => {
    const bench = blocked();
    bench.now = 29_999;
    expect(bench.ask(5)).toMatchObject({ granted: 0, reason: 'blocked', opensMs: 1 });
    expect(bench.ask(5, [], 'other').granted).toBe(0);
  });

  test('sends one then, and the others when that was served', () => {
    const bench = blocked();
    bench.now = 30_000;
    expect(bench.ask(5).granted).toBe(1);
    expect(bench.ask(5, [], 'other').granted).toBe(0);
    bench.now = 30_100;
    expect(bench.ask(4, [bench.served(2, 30_000, told(20, 19, 59_900))]).granted).toBe(4);
    expect(bench.ask(3, [], 'other').granted).toBe(3);
  });

  test('waits again for 30 s when the one was refused', () => {
    const bench = blocked();
    bench.now = 30_000;
    bench.ask(5);
    bench.now = 30_010;
    bench.ask(4, [bench.report(2, 30_000, { outcome: 'blocked' })]);
    bench.now = 60_009;
    expect(bench.ask(5).granted).toBe(0);
    bench.now = 60_010;
    expect(bench.ask(5).granted).toBe(1);
  });

  test('waits for longer when something fails in the meantime', () => {
    const bench = blocked();
    bench.now = 10_000;
    bench.ask(0, [bench.report(0, 0, { outcome: 'failed' })], 'other');
    bench.now = 39_999;
    expect(bench.ask(1).granted).toBe(0);
    bench.now = 40_000;
    expect(bench.ask(1).granted).toBe(1);
  });

  test('sends another one when nothing is heard of the first for 5 s', () => {
    const bench = blocked();
    bench.now = 30_000;
    bench.ask(5);
    bench.now = 34_999;
    expect(bench.ask(5).granted).toBe(0);
    bench.now = 35_000;
    expect(bench.ask(5).granted).toBe(1);
  });

  test.each(['refused', 'failed'] as const)(
    'is free again when its try is answered by anything but the block: %s',
    (outcome) => {
      const bench = blocked();
      bench.now = 30_000;
      expect(bench.ask(2)).toMatchObject({ granted: 1, reason: 'blocked' });
      const requests = told(20, 0, 7_000);
      const answer = bench.report(2, 30_000, { outcome, requests });
      const reply = bench.ask(1, [answer]);
      expect(reply).toMatchObject({ granted: 0, reason: 'request limit', opensMs: 7_000 });
      expect(bench.key.failures).toHaveLength(1);
    },
  );

  test('is not freed by what had been sent before the block', () => {
    const bench = new PolicyBench();
    bench.ask(2);
    bench.now = 100;
    bench.ask(0, [bench.report(1, 0, { outcome: 'blocked' })]);
    bench.now = 200;
    expect(bench.ask(1, [bench.served(2, 0)])).toMatchObject({ granted: 0, reason: 'blocked' });
  });
});

describe('a refusal that names no window', () => {
  const overloaded = { outcome: 'refused', backoffMs: 800, attempt: 1 } as const;

  test('holds its model up for as long as the request backs off', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    const report = bench.report(1, 0, overloaded);
    expect(bench.ask(5, [report])).toMatchObject({ granted: 0, reason: 'refused', opensMs: 800 });
    expect(bench.ask(1, [], 'other').granted).toBe(1);
    bench.now = 800;
    expect(bench.ask(5).granted).toBeGreaterThan(0);
  });

  test('holds it up for as long as Retry-After says', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    const report = bench.report(1, 0, { outcome: 'refused', backoffMs: 45_000 });
    expect(bench.ask(5, [report])).toMatchObject({ granted: 0, opensMs: 45_000 });
  });

  test('after others means longer each time, up to 30 s, where a limit is known', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.ask(0, [bench.served(1, 0, told(1_000, 999, 600_000))]);
    const waits: number[] = [];
    for (let seq = 2; seq < 10; seq += 1) {
      expect(bench.ask(1).granted).toBe(1);
      const requests = told(1_000, 900, 600_000);
      const report = bench.report(seq, bench.now, { ...overloaded, requests });
      bench.now += 1;
      const { askAgainMs } = bench.ask(1, [report]);
      waits.push(askAgainMs);
      bench.now += askAgainMs;
    }
    expect(waits).toEqual([800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
  });

  test('halves how many may be on the way at once', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    const few = bench.ask(60, [bench.served(1, 0, told(1_000, 999, 600_000))]).granted;
    bench.now = 100;
    bench.ask(60, [bench.report(2, 0, { ...overloaded, requests: told(1_000, 900, 600_000) })]);
    bench.now = 5_000;
    const fewer = bench.ask(60).granted;
    expect(fewer).toBeLessThanOrEqual(few / 2);
    expect(fewer).toBeGreaterThan(0);
  });
});

describe('a limit without headers', () => {
  test('is found out from refusals, and used to most of its extent', () => {
    const { served, refused } = play(300_000);
    expect(served.length).toBeGreaterThan(0.7 * 150);
    expect(refused.length).toBeLessThan(0.35 * served.length);
  });

  test('is as high as what went before a refusal, although nobody was served yet', () => {
    const bench = new PolicyBench();
    const sent: number[] = [];
    for (; sent.length < 12; bench.now += 1_000) {
      const { granted } = bench.ask(60);
      for (let i = 0; i < granted; i += 1) sent.push(bench.now);
    }
    const refused = { outcome: 'refused', backoffMs: 900, attempt: 1 } as const;
    const reply = bench.ask(60, [bench.report(12, sent[11] ?? 0, refused)]);
    expect(reply.perWindow).toBe(9);
  });

  test('never brings 20 refusals within 30 s', () => {
    const { refused } = play(300_000);
    for (const at of refused) {
      expect(refused.filter((each) => each >= at && each < at + 30_000).length).toBeLessThan(20);
    }
  });
});
