import { describe, expect, test } from '@jest/globals';
import { MOST_ENDED, PLOT_MS, STEP_MS, StatusHistory } from '../examples/server/status/history.ts';
import {
  MOST_BUCKETS,
  MOST_REQUESTS,
  bucketsToShow,
  requestsToShow,
} from '../examples/server/status/live-state.ts';
import type { AnswerEvent, BucketState, RequestState, RetryEvent } from '../lib/index.ts';
import { CHAT_INFO as REQUEST, answeredEvent } from './helpers/answer-event.ts';

const ENDED = answeredEvent(REQUEST);
const RETRY: RetryEvent = {
  request: REQUEST,
  attempt: 1,
  status: 503,
  reason: 'status 503',
  delayMs: 1,
};

class Remembered {
  now = 1_000 * STEP_MS;
  readonly history = new StatusHistory(() => this.now);

  end(changes: Partial<AnswerEvent> = {}): void {
    this.history.hooks.answer?.({ ...ENDED, ...changes });
  }
}

describe('what is remembered of requests that have ended', () => {
  test('is told from any of them on, the oldest first', () => {
    const remembered = new Remembered();
    const { history } = remembered;
    for (let attempts = 1; attempts <= 3; attempts += 1) remembered.end({ attempts });
    const numbers = (from: number): number[] => history.endedAfter(from).map(({ n }) => n);
    expect([numbers(0), numbers(1), numbers(3)]).toEqual([[1, 2, 3], [2, 3], []]);
    expect(history.count).toBe(3);
  });

  test('is the last fifty', () => {
    const remembered = new Remembered();
    for (let i = 0; i < 3 * MOST_ENDED; i += 1) remembered.end();
    const ended = remembered.history.endedAfter(0);
    expect(ended).toHaveLength(MOST_ENDED);
    expect([ended[0]?.n, ended.at(-1)?.n]).toEqual([2 * MOST_ENDED + 1, 3 * MOST_ENDED]);
    expect(remembered.history.endedAfter(MOST_ENDED)).toHaveLength(MOST_ENDED);
  });

  test('is short, however long a model or a path is', () => {
    const remembered = new Remembered();
    const long = 'é'.repeat(100_000);
    remembered.end({ request: { ...REQUEST, model: long, path: `/${long}` } });
    const [ended] = remembered.history.endedAfter(0);
    expect([ended?.model?.length, ended?.path.length]).toEqual([120, 120]);
    expect(ended?.model).toMatch(/^é+…$/);
  });
});

describe('the plot', () => {
  test.each<readonly [string, Partial<AnswerEvent>, readonly [number, number]]>([
    ['a request that ended well is an answer', {}, [1, 0]],
    ['an error that the client got is a refusal', { status: 404 }, [0, 1]],
    ['an error of our own, too', { status: 503, outcome: 'refused', code: 'draining' }, [0, 1]],
    ['a broken stream, too', { outcome: 'broken', code: 'upstream_disconnected' }, [0, 1]],
    ['an error behind an early head, too', { code: 'upstream_429' }, [0, 1]],
    ['who left is neither', { status: undefined, outcome: 'client_left' }, [0, 0]],
  ])('%s', (_rule, event, [answers, refusals]) => {
    const remembered = new Remembered();
    remembered.end(event);
    const sum = { answers: 0, refusals: 0 };
    for (const step of remembered.history.steps()) {
      sum.answers += step.answers;
      sum.refusals += step.refusals;
    }
    expect(sum).toEqual({ answers, refusals });
  });

  test('counts in steps, and forgets them after a quarter of an hour', () => {
    const remembered = new Remembered();
    const { history } = remembered;
    const begunAt = remembered.now;
    remembered.end();
    history.hooks.retry?.(RETRY);
    remembered.now += STEP_MS - 1;
    remembered.end();
    remembered.now += 1;
    history.hooks.retry?.(RETRY);
    const first = { at: begunAt, answers: 2, retries: 1, refusals: 0 };
    const second = { at: begunAt + STEP_MS, answers: 0, retries: 1, refusals: 0 };
    expect(history.steps()).toEqual([first, second]);
    remembered.now = begunAt + PLOT_MS - 1;
    expect(history.steps()).toEqual([first, second]);
    remembered.now += 1;
    expect(history.steps()).toEqual([second]);
  });

  test('has a bound although nobody looks', () => {
    const remembered = new Remembered();
    for (let i = 0; i < 500; i += 1) {
      remembered.now += STEP_MS;
      remembered.end();
    }
    expect(remembered.history.steps()).toHaveLength(PLOT_MS / STEP_MS);
  });
});

describe('what is shown of what is there now', () => {
  const state: RequestState = { ...REQUEST, phase: 'held', attempts: 0, waitedMs: 5, ageMs: 40 };

  test('the requests that came first, and how many there are', () => {
    const states = Array.from({ length: MOST_REQUESTS + 5 }, (_, i) => ({
      ...state,
      id: String(i),
      ageMs: 100 * i,
    }));
    const { total, shown } = requestsToShow(states, 1_000_000);
    expect(total).toBe(MOST_REQUESTS + 5);
    expect(shown).toHaveLength(MOST_REQUESTS);
    expect(shown[0]).toMatchObject({ id: String(MOST_REQUESTS + 4), since: 989_600 });
  });

  test('the buckets with the longest queues, in the order of their names', () => {
    const states = Array.from({ length: MOST_BUCKETS + 5 }, (_, i): BucketState => {
      const window = { limit: 10, remaining: -1, resetsInMs: 2_000 };
      const model = `m${String(i).padStart(3, '0')}`;
      const queue = { waiting: i, oldestWaitMs: 300, opensInMs: undefined };
      return { model, key: 'k', requests: window, tokens: undefined, ...queue };
    });
    const { total, waiting, shown } = bucketsToShow(states, 1_000_000);
    expect([total, waiting]).toEqual([
      MOST_BUCKETS + 5,
      ((MOST_BUCKETS + 4) * (MOST_BUCKETS + 5)) / 2,
    ]);
    expect(shown.map(({ model }) => model)).toEqual(states.slice(5).map(({ model }) => model));
    expect(shown[0]).toMatchObject({
      requests: { limit: 10, remaining: 0, resetsAt: 1_002_000 },
      waitsSince: 999_700,
      opensAt: undefined,
    });
  });

  test('the buckets with a window, however many strangers bring keys', () => {
    const window = { limit: 10, remaining: 1, resetsInMs: 2_000 };
    const rest = { tokens: undefined, waiting: 0, oldestWaitMs: undefined, opensInMs: undefined };
    const strange = Array.from({ length: MOST_BUCKETS }, (_, i): BucketState => {
      return { model: 'a', key: String(i), requests: undefined, ...rest };
    });
    const known: BucketState = { model: 'm', key: 'k', requests: window, ...rest };
    const { shown } = bucketsToShow([...strange, known], 1_000_000);
    expect(shown.at(-1)?.model).toBe('m');
  });
});
