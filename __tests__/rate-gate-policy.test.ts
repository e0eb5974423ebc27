import { describe, expect, test } from '@jest/globals';
import { PolicyBench, told } from './helpers/policy-bench.ts';

/** A bucket of whose 20 requests in 60 s one is used: at 100 ms; its window ends at 60 s. */
function known(peers = 1, limit = 20): PolicyBench {
  const bench = new PolicyBench(peers);
  bench.ask(1);
  bench.now = 100;
  bench.ask(0, [bench.served(1, 0, told(limit, limit - 1, 59_900))]);
  return bench;
}

/** All are used; the stamp is at 60 s. */
function full(): PolicyBench {
  const bench = known();
  bench.ask(19);
  return bench;
}

describe('a bucket of which nothing is known', () => {
  test('costs a lone request nothing', () => {
    expect(new PolicyBench().ask(1)).toMatchObject({ granted: 1, firstSeq: 1, reason: 'none' });
  });

  test('opens with three, and says that it does not know when there will be more', () => {
    expect(new PolicyBench().ask(60)).toMatchObject({
      granted: 3,
      reason: 'limit unknown',
      opensMs: undefined,
      askAgainMs: 1_000,
    });
  });

  test('lets three more through for each second without a refusal', () => {
    const bench = new PolicyBench();
    bench.ask(60);
    bench.now = 999;
    expect(bench.ask(57).granted).toBe(0);
    bench.now = 1_000;
    expect(bench.ask(57).granted).toBe(3);
  });

  test('has no more than 20 without an answer, however long they are silent', () => {
    const bench = new PolicyBench();
    let granted = 0;
    for (; bench.now < 50_000; bench.now += 500) granted += bench.ask(60).granted;
    expect(granted).toBe(20);
  });

  test('shares these 20 with the other models of its key', () => {
    const bench = new PolicyBench();
    let granted = 0;
    for (; bench.now < 50_000; bench.now += 500) {
      for (const model of ['a', 'b', 'c']) granted += bench.ask(60, [], model).granted;
    }
    expect(granted).toBe(20);
  });

  test('forgets after a minute those of whom nothing was heard', () => {
    const bench = new PolicyBench();
    for (; bench.now < 10_000; bench.now += 500) bench.ask(60);
    expect(bench.ask(60).granted).toBe(0);
    bench.now += 60_001;
    expect(bench.ask(60).granted).toBeGreaterThan(0);
  });

  test('is open with the first answer that tells its limit: for as many as are left', () => {
    const bench = new PolicyBench();
    bench.ask(60);
    bench.now = 100;
    const reply = bench.ask(57, [bench.served(1, 0, told(15, 14, 59_900))]);
    // Three of fifteen have gone, whatever one answer has counted.
    expect(reply).toMatchObject({ granted: 12, reason: 'request limit', perWindow: 15 });
  });
});

describe('a limit that is told', () => {
  test('counts what is in flight as used', () => {
    const bench = known();
    expect(bench.ask(60)).toMatchObject({ granted: 19, reason: 'request limit' });
    bench.now = 5_000;
    expect(bench.ask(41)).toMatchObject({ granted: 0, opensMs: 55_000, askAgainMs: 55_000 });
  });

  test('is not forgotten when answers come in another order than they were sent in', () => {
    const bench = known();
    bench.ask(10);
    bench.now = 300;
    // The last one that left was the first one to arrive.
    expect(bench.ask(60, [bench.served(11, 100, told(20, 18, 59_700))]).granted).toBe(9);
    bench.now = 400;
    expect(bench.ask(60, [bench.served(5, 100, told(20, 9, 59_600))]).granted).toBe(0);
  });

  test('leaves room for what others have used', () => {
    const bench = known();
    bench.now = 1_000;
    bench.ask(1);
    bench.now = 1_100;
    expect(bench.ask(60, [bench.served(2, 1_000, told(20, 4, 58_900))]).granted).toBe(4);
  });

  test('believes that less is used when nothing else was on the way', () => {
    const bench = known();
    bench.ask(5);
    bench.now = 5_000;
    bench.ask(1);
    bench.now = 5_100;
    // The five did not count.
    expect(bench.ask(60, [bench.served(7, 5_000, told(20, 18, 54_900))]).granted).toBe(18);
  });

  test.each([
    { name: 'shrinks', limit: 5, remaining: 3, granted: 3 },
    { name: 'shrinks below what is used', limit: 2, remaining: 0, granted: 0 },
    { name: 'grows', limit: 22, remaining: 20, granted: 20 },
  ])('counts from the next answer on when it $name', ({ limit, remaining, granted }) => {
    const bench = known();
    bench.now = 1_000;
    bench.ask(1);
    bench.now = 1_100;
    const answer = bench.served(2, 1_000, told(limit, remaining, 58_900));
    expect(bench.ask(60, [answer]).granted).toBe(granted);
  });

  test('gives a place back that was not used', () => {
    const bench = known();
    bench.ask(19);
    expect(bench.ask(1).granted).toBe(0);
    expect(bench.ask(1, [bench.report(2, 100, { outcome: 'unsent' })]).granted).toBe(1);
  });

  test('gives none back of which the upstream may have heard', () => {
    const bench = known();
    bench.ask(19);
    expect(bench.ask(1, [bench.report(2, 100, { outcome: 'gone' })]).granted).toBe(0);
  });

  test('holds up no other model', () => {
    const bench = known();
    bench.ask(60);
    expect(bench.ask(1, [], 'other').granted).toBe(1);
  });

  test('is shared with peers that do not tell what they use', () => {
    expect(known(4).ask(60).granted).toBe(4);
  });

  test('says how fast it goes on', () => {
    expect(known().ask(60)).toMatchObject({ perWindow: 20, spanMs: 60_000, peers: 1 });
  });

  test('has nothing to do with answers from another life of the store', () => {
    const bench = known();
    bench.ask(19);
    expect(bench.ask(1, [bench.served(999, -5_000, told(20, 20, 60_000))]).granted).toBe(0);
    expect(bench.ask(1, [bench.served(2, -5_000, told(20, 20, 60_000))]).granted).toBe(0);
  });
});

describe('the end of a window', () => {
  test('is tried by one, at its stamp', () => {
    const bench = full();
    bench.now = 59_999;
    expect(bench.ask(60)).toMatchObject({ granted: 0, askAgainMs: 1 });
    bench.now = 60_000;
    expect(bench.ask(60).granted).toBe(1);
    expect(bench.ask(59)).toMatchObject({ granted: 0, reason: 'request limit' });
  });

  test('lets all through when the one was served', () => {
    const bench = full();
    bench.now = 60_000;
    bench.ask(60);
    bench.now = 60_100;
    const served = bench.served(21, 60_000, told(20, 19, 59_900));
    expect(bench.ask(59, [served]).granted).toBe(19);
  });

  test('lets all through when the one was not refused for a second', () => {
    const bench = full();
    bench.now = 60_000;
    bench.ask(60);
    bench.now = 60_999;
    expect(bench.ask(59).granted).toBe(0);
    bench.now = 61_000;
    expect(bench.ask(59).granted).toBe(19);
  });

  test('is tried again a second later at most when the one was refused', () => {
    const bench = full();
    bench.now = 60_000;
    bench.ask(60);
    bench.now = 60_010;
    const reply = bench.ask(60, [bench.refused(21, 60_000, told(20, 0, -10))]);
    expect(reply).toMatchObject({ granted: 0, reason: 'request limit' });
    expect(reply.askAgainMs).toBeLessThanOrEqual(1_000);
    bench.now = 61_000;
    expect(bench.ask(60).granted).toBe(1);
  });

  test('is found more exactly each time: windows last whole seconds', () => {
    // They last 5 s from their first request on, and their stamps are cut to whole seconds.
    const bench = new PolicyBench();
    bench.now = 600;
    const delays: number[] = [];
    let endsAt = 0;
    let used = 0;
    while (delays.length < 6) {
      const { granted, firstSeq, askAgainMs } = bench.ask(60);
      const sentAt = bench.now;
      if (granted > 0 && sentAt >= endsAt) {
        delays.push(endsAt === 0 ? 0 : sentAt - endsAt);
        endsAt = sentAt + 5_000;
        used = 0;
      }
      bench.now += 20;
      const stamp = Math.floor(endsAt / 1_000) * 1_000;
      for (let seq = firstSeq; seq < firstSeq + granted; seq += 1) {
        const isServed = used < 20;
        if (isServed) used += 1;
        const requests = told(20, 20 - used, stamp - bench.now);
        bench.ask(0, [bench[isServed ? 'served' : 'refused'](seq, sentAt, requests)]);
      }
      if (granted === 0) bench.now += askAgainMs - 20;
    }
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_000);
    expect(delays.at(-1)).toBeLessThanOrEqual(20);
  });

  test('does not concern answers that come from the window before', () => {
    const bench = full();
    bench.now = 60_000;
    bench.ask(60);
    bench.now = 60_100;
    bench.ask(59, [bench.served(21, 60_000, told(20, 19, 59_900))]);
    bench.now = 65_000;
    const late = bench.served(20, 100, told(20, 0, -5_000));
    expect(bench.ask(40, [late])).toMatchObject({ granted: 0, opensMs: 55_000 });
  });
});

describe('tokens', () => {
  test('hold requests up when there are none left', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.now = 100;
    const answer = bench.served(1, 0, told(20, 19, 59_900), told(1_000, 0, 9_900));
    expect(bench.ask(60, [answer])).toMatchObject({
      granted: 0,
      reason: 'token limit',
      opensMs: 9_900,
    });
    bench.now = 10_000;
    expect(bench.ask(60).granted).toBe(1);
    bench.now = 10_100;
    const after = bench.served(2, 10_000, told(20, 18, 49_900), told(1_000, 900, 59_900));
    expect(bench.ask(60, [after]).granted).toBe(18);
  });

  test('of which nothing is told any more are forgotten', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.ask(0, [bench.served(1, 0, told(20, 19, 60_000), told(1_000, 0, 400_000))]);
    bench.now = 60_000;
    expect(bench.ask(60).granted).toBe(1);
    expect(bench.ask(0, [bench.served(2, 60_000, told(20, 19, 60_000))])).toBeDefined();
    expect(bench.ask(60).granted).toBe(19);
  });
});

describe('headers that lie', () => {
  test.each([
    { name: 'negative', window: told(-20, -5, -100_000) },
    { name: 'huge', window: told(1e300, 1e300, 1e300) },
    { name: 'no numbers', window: told(Number.NaN, Number.NaN, Number.NaN) },
    { name: 'endless', window: told(Infinity, Infinity, Infinity) },
    { name: 'nothing', window: told(0, 0, 0) },
    { name: 'more left than there is', window: told(20, 500, 60_000) },
    { name: 'years away', window: told(20, 0, 1e11) },
  ])('keep nobody waiting for ever, and open no flood: $name', ({ window }) => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.ask(0, [bench.served(1, 0, window)]);
    let granted = 0;
    for (; bench.now < 180_000; bench.now += 500) {
      const reply = bench.ask(5);
      expect(Number.isFinite(reply.askAgainMs)).toBe(true);
      granted += reply.granted;
      // They are served, and the truth is told.
      for (let i = 0; i < reply.granted; i += 1) {
        const sent = bench.served(reply.firstSeq + i, bench.now, told(20, 10, 30_000));
        bench.ask(0, [sent]);
      }
    }
    expect(granted).toBeGreaterThan(20);
  });

  test('a reset that is days away is doubted: one tries each minute, and is believed', () => {
    const bench = new PolicyBench();
    bench.ask(1);
    bench.ask(0, [bench.served(1, 0, told(20, 0, 500_000_000))]);
    bench.now = 60_000;
    expect(bench.ask(60)).toMatchObject({ granted: 1, askAgainMs: 60_000 });
    bench.now = 119_999;
    expect(bench.ask(60).granted).toBe(0);
    bench.now = 120_000;
    expect(bench.ask(60).granted).toBe(1);
    bench.now = 120_100;
    const truth = bench.served(3, 120_000, told(20, 19, 59_900));
    expect(bench.ask(60, [truth]).granted).toBe(19);
  });
});
