import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { simulate } from './helpers/simulate.ts';
import type { Load, Outcome, Scenario } from './helpers/simulate.ts';
import type { Trouble, VeniceSettings } from './helpers/simulated-venice.ts';

const SEED = 20260901;
const HOUR_MS = 3_600_000;
const PATIENT_MS = 24 * HOUR_MS;

/** The same, but for what is said. */
function but<T extends object>(all: T, other: Partial<T>): T {
  return { ...all, ...other };
}

/** Windows, clocks and networks as they may be, with answers that are quicker than a window. */
const calmVenice: fc.Arbitrary<VeniceSettings> = fc.record({
  requests: fc.record({
    limit: fc.integer({ min: 1, max: 60 }),
    windowMs: fc.integer({ min: 2, max: 60 }).map((seconds) => seconds * 1_000),
  }),
  stamps: fc.constantFrom('floor', 'ceil', 'round', 'milliseconds', 'relative'),
  isClockAligned: fc.boolean(),
  clockOffsetMs: fc.constantFrom(0, 0, 1_500, 10_000, -HOUR_MS),
  answerMs: fc.constantFrom([20, 100] as const, [100, 900] as const, [200, 1_900] as const),
  budget: fc.constantFrom(20, 50),
});

const gates = fc.constantFrom({}, { count: 4, isShared: true }, { count: 2, isShared: true });

/** Up to four windows full, one way or another. */
function loadOf(limit: number, windowMs: number): fc.Arbitrary<Load> {
  return fc.record({
    kind: fc.constantFrom('burst', 'steady', 'chance'),
    count: fc.integer({ min: 1, max: 4 * limit }),
    overMs: fc.integer({ min: 0, max: 3 * windowMs }),
  });
}

function scenarios(venice: fc.Arbitrary<VeniceSettings>): fc.Arbitrary<Scenario> {
  return fc.tuple(venice, gates, fc.integer()).chain(([settings, gate, seed]) => {
    const { limit, windowMs } = settings.requests;
    return loadOf(limit, windowMs).map((each) => ({
      seed,
      venice: settings,
      gates: gate,
      loads: [each],
      untilMs: PATIENT_MS,
    }));
  });
}

function check(arbitrary: fc.Arbitrary<Scenario>, numRuns: number, rule: (o: Outcome) => void) {
  fc.assert(
    fc.property(arbitrary, (scenario) => rule(simulate(scenario))),
    { seed: SEED, numRuns },
  );
}

/** How many more than allowed came in each window, without the first ones, that taught the limit. */
function excesses({ venice }: Outcome): number[] {
  return venice.windows.slice(1).map(({ refused }) => refused);
}

const somewhere = fc.tuple(fc.nat({ max: 20_000 }), fc.integer({ min: 1_000, max: 30_000 }));

/** Overloads and outages, of which every refusal and failure comes at once. */
const failures: fc.Arbitrary<Trouble> = fc
  .record({
    kind: fc.constantFrom('overload' as const, 'outage' as const),
    share: fc.constantFrom(0.1, 0.5, 1),
    span: somewhere,
  })
  .map(({ kind, share, span: [fromMs, lastsMs] }) => {
    return { kind, share, fromMs, untilMs: fromMs + lastsMs };
  });

const numbers = fc.constantFrom('-5', '0', '1', '1e9', '1e30', '9'.repeat(400), 'NaN', '', 'many');
const stamps = fc.constantFrom('-1', '0', '1600000000', '500000', '1e30', '86400', 'soon');

const lies: fc.Arbitrary<Trouble> = fc
  .record({
    span: somewhere,
    headers: fc.record(
      {
        'x-ratelimit-limit-requests': numbers,
        'x-ratelimit-remaining-requests': numbers,
        'x-ratelimit-reset-requests': stamps,
        'x-ratelimit-remaining-tokens': numbers,
        'x-ratelimit-limit-tokens': numbers,
        'x-ratelimit-reset-tokens': stamps,
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ span: [fromMs, lastsMs], headers }) => ({
    kind: 'lie',
    headers,
    fromMs,
    untilMs: fromMs + lastsMs,
  }));

const withTroubles = (trouble: fc.Arbitrary<Trouble>): fc.Arbitrary<VeniceSettings> =>
  fc
    .tuple(calmVenice, fc.array(trouble, { minLength: 1, maxLength: 2 }))
    .map(([settings, troubles]) => but(settings, { troubles }));

/** Whatever can be wrong with a limit that is told. */
const changingVenice: fc.Arbitrary<VeniceSettings> = fc
  .record({
    settings: calmVenice,
    atMs: fc.nat({ max: 60_000 }),
    limit: fc.integer({ min: 1, max: 60 }),
    windowMs: fc.integer({ min: 2, max: 60 }).map((seconds) => seconds * 1_000),
  })
  .map(({ settings, ...change }) => but(settings, { changes: [change] }));

const slowVenice: fc.Arbitrary<VeniceSettings> = fc
  .tuple(calmVenice, fc.constantFrom([5_000, 20_000] as const, [1_000, 90_000] as const))
  .map(([settings, answerMs]) => but(settings, { answerMs, clockOffsetMs: -1_500 }));

const silentVenice: fc.Arbitrary<VeniceSettings> = calmVenice.map((settings) => {
  return but(settings, { hasHeaders: false });
});

describe('a limit that is known', () => {
  test('lets no more through in a window than it allows, but for one that tries each end', () => {
    let ends = 0;
    let tries = 0;
    check(scenarios(calmVenice), 2_000, (outcome) => {
      const over = excesses(outcome);
      // An end that was tried at its stamp may be tried once more before it comes.
      expect(Math.max(0, ...over)).toBeLessThanOrEqual(2);
      ends += over.length;
      tries += over.reduce((sum, each) => sum + each, 0);
    });
    expect(ends).toBeGreaterThan(1_000);
    expect(tries / ends).toBeLessThan(0.1);
  });

  test('is used up: what comes at once is answered about as soon as its windows allow', () => {
    const bursts = scenarios(calmVenice).map((each) => {
      return but(each, { loads: each.loads.map((load) => but(load, { kind: 'burst' })) });
    });
    check(bursts, 1_000, ({ venice, requests, tookMs }) => {
      const [first] = venice.windows;
      if (first === undefined) return;
      const windows = Math.ceil(requests.length / first.limit);
      const idealMs = (windows - 1) * (first.endsAt - first.startedAt);
      // For each end: the error of its stamp, of the clock, a second of silence; and the answers.
      expect(tookMs).toBeLessThanOrEqual(idealMs + 4_000 * windows + 2_000);
    });
  });
});

describe('whatever the upstream does', () => {
  test.each<[string, fc.Arbitrary<VeniceSettings>, number]>([
    ['as told', calmVenice, 400],
    ['with overloads and outages', withTroubles(failures), 600],
    ['with headers that lie', withTroubles(lies), 600],
    ['with a limit that changes', changingVenice, 400],
    ['with answers that outlast their windows, behind its clock', slowVenice, 300],
    ['without headers', silentVenice, 300],
  ])('the key is not blocked, and everyone is answered: %s', (_case, venice, numRuns) => {
    check(scenarios(venice), numRuns, ({ venice: { blocks }, unanswered, gates: { waiting } }) => {
      expect({ blocks, unanswered, waiting }).toEqual({ blocks: 0, unanswered: 0, waiting: 0 });
    });
  });

  test('a block that is on already is waited out with few calls, and everyone is answered', () => {
    const blocked = scenarios(calmVenice).map((each) => but(each, { blocked: ['key'] }));
    check(blocked, 300, ({ venice, requests, unanswered }) => {
      expect(unanswered).toBe(0);
      expect(venice.blocks).toBe(0);
      const refused = venice.windows.reduce((sum, each) => sum + each.refused, 0);
      expect(venice.calls - refused - requests.length).toBeLessThanOrEqual(10);
    });
  });
});

describe('the order', () => {
  test('is that of arrival, in each process', () => {
    check(scenarios(withTroubles(failures)), 300, ({ gates: { admitted } }) => {
      const lastOf = new Map<number, number>();
      for (const { gate, arrivedAt } of admitted) {
        expect(arrivedAt).toBeGreaterThanOrEqual(lastOf.get(gate) ?? 0);
        lastOf.set(gate, arrivedAt);
      }
    });
  });

  test('is not that of one model: others, and other keys, go on', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const { requests } = simulate({
          seed,
          venice: {
            requests: { limit: 50, windowMs: 60_000 },
            models: { small: { limit: 2, windowMs: 60_000 } },
            answerMs: [50, 200],
          },
          loads: [
            { kind: 'burst', count: 10, model: 'small' },
            { kind: 'steady', count: 30, overMs: 30_000, fromMs: 3_000, model: 'large' },
            { kind: 'steady', count: 30, overMs: 30_000, fromMs: 3_000, key: 'other' },
          ],
          untilMs: PATIENT_MS,
        });
        const others = requests.filter(({ model }) => model !== 'small');
        const waits = others.map(({ arrivedAt, admittedAt }) => admittedAt - arrivedAt);
        expect(Math.max(...waits)).toBeLessThan(1_000);
      }),
      { seed: SEED, numRuns: 50 },
    );
  });
});

test('who does not wait any longer is not let through, and holds up nobody', () => {
  const impatient = scenarios(calmVenice).map((each) => {
    return but(each, { loads: each.loads.map((load) => but(load, { patienceMs: 5_000 })) });
  });
  check(impatient, 300, ({ gates: { answered, left, waiting, admitted }, requests }) => {
    expect(answered + left).toBe(requests.length);
    expect(waiting).toBe(0);
    for (const { admittedAt, deadline } of admitted) {
      expect(admittedAt).toBeLessThanOrEqual(deadline + 10);
    }
  });
});

test('headers that lied are forgotten: an hour later the limit is used as ever', () => {
  const later: Load = { kind: 'burst', count: 40, fromMs: HOUR_MS };
  const arbitrary = fc.tuple(fc.array(lies, { minLength: 1, maxLength: 3 }), fc.integer());
  fc.assert(
    fc.property(arbitrary, ([troubles, seed]) => {
      const { requests, venice, startedAt } = simulate({
        seed,
        venice: { requests: { limit: 20, windowMs: 5_000 }, answerMs: [50, 200], troubles },
        loads: [{ kind: 'chance', count: 60, overMs: 50_000, patienceMs: 60_000 }, later],
        untilMs: PATIENT_MS,
      });
      expect(venice.blocks).toBe(0);
      const late = requests.filter(({ arrivedAt }) => arrivedAt >= startedAt + HOUR_MS);
      const waits = late.map(({ arrivedAt, answeredAt }) => answeredAt - arrivedAt);
      expect(Math.min(...waits)).toBeGreaterThan(0);
      expect(Math.max(...waits)).toBeLessThan(15_000);
    }),
    { seed: SEED, numRuns: 300 },
  );
});
