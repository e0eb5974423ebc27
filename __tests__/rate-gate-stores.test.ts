import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { FallbackStore } from '../lib/rate-gate/fallback-store.ts';
import type { Ask, GateStore, Reply, Report } from '../lib/rate-gate/gate-store.ts';
import { MemoryStore } from '../lib/rate-gate/memory-store.ts';

setFlagsFromString('--expose-gc');
/** Collects garbage, at once. */
const collect = runInNewContext('gc') as () => void;

const TIMEOUT_MS = 100;

afterEach(() => {
  jest.useRealTimers();
});

function ask(over: Partial<Ask> = {}): Ask {
  return { key: 'key', bucket: 'model', want: 1, reports: [], budgetWindowMs: 30_000, ...over };
}

/** A shared store whose state is set by hand. */
class Shared implements GateStore {
  state: 'answers' | 'fails' | 'hangs' = 'answers';
  readonly asks: Ask[] = [];
  readonly #store = new MemoryStore();

  async step(asked: Ask): Promise<Reply> {
    this.asks.push(asked);
    if (this.state === 'hangs') await new Promise(() => undefined);
    if (this.state === 'fails') throw new Error('gone');
    return { ...this.#store.step(asked), peers: 4 };
  }
}

interface Pair {
  readonly shared: Shared;
  readonly own: MemoryStore;
  readonly store: FallbackStore;
}

function pair(): Pair {
  jest.useFakeTimers();
  const shared = new Shared();
  const own = new MemoryStore();
  return { shared, own, store: new FallbackStore(shared, own, TIMEOUT_MS) };
}

const served = (seq: number, at: number): Report => ({
  seq,
  at,
  outcome: 'served',
  requests: { limit: 40, remaining: 39, resetMs: 60_000 },
});

describe('memory', () => {
  test('grants as the policy does, each bucket by itself', () => {
    const store = new MemoryStore();
    expect(store.step(ask({ want: 60 })).granted).toBe(3);
    expect(store.step(ask({ want: 60 })).granted).toBe(0);
    expect(store.step(ask({ want: 60, key: 'other' })).granted).toBe(3);
  });

  test('forgets who was idle for ten minutes, and keeps no process alive for that', () => {
    jest.useFakeTimers();
    const store = new MemoryStore();
    store.step(ask());
    jest.advanceTimersByTime(300_000);
    store.step(ask({ key: 'other' }));
    jest.advanceTimersByTime(370_000);
    expect(store.size).toBe(1);
    jest.advanceTimersByTime(300_000);
    expect(store.size).toBe(0);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('holds no more than 20 000 keys: the one that rested longest goes', () => {
    const store = new MemoryStore();
    for (let key = 0; key < 20_000; key += 1) store.step(ask({ key: String(key) }));
    store.step(ask({ key: '0', want: 0 }));
    store.step(ask({ key: 'new' }));
    expect(store.size).toBe(20_000);
    // What was known of the second is gone, so its numbers begin again.
    expect(store.step(ask({ key: '0' })).firstSeq).toBe(2);
    expect(store.step(ask({ key: '1' })).firstSeq).toBe(1);
  });

  test('costs little for 10 000 keys', () => {
    collect();
    const before = process.memoryUsage().heapUsed;
    const store = new MemoryStore();
    for (let key = 0; key < 10_000; key += 1) {
      const { firstSeq, at } = store.step(ask({ key: `key ${key}` }));
      store.step(ask({ key: `key ${key}`, want: 0, reports: [served(firstSeq, at)] }));
    }
    collect();
    const grownMb = (process.memoryUsage().heapUsed - before) / 1e6;
    expect(store.size).toBe(10_000);
    expect(grownMb).toBeGreaterThan(1);
    expect(grownMb).toBeLessThan(30);
  });
});

describe('a shared store', () => {
  test('is asked as long as it answers', async () => {
    const { shared, own, store } = pair();
    expect(await store.step(ask({ want: 60 }))).toMatchObject({
      granted: 3,
      firstSeq: 1,
      peers: 4,
    });
    expect(shared.asks).toHaveLength(1);
    expect(own.peers).toBe(4);
  });

  test('that fails is done without, at once: with the share of one of its peers', async () => {
    const { shared, store } = pair();
    const { firstSeq, at } = await store.step(ask());
    await store.step(ask({ want: 0, reports: [served(firstSeq, at)] }));
    shared.state = 'fails';
    const reply = await store.step(ask({ want: 60 }));
    // Of 39 that are left; 20 failures are the bound for four together.
    expect(reply.granted).toBe(5);
    expect(reply.peers).toBe(4);
  });

  test('that hangs keeps nobody waiting for longer than its timeout, and only once', async () => {
    const { shared, store } = pair();
    shared.state = 'hangs';
    let reply: Reply | undefined;
    void store.step(ask()).then((each) => (reply = each));
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    expect(reply).toBeUndefined();
    await jest.advanceTimersByTimeAsync(1);
    // And one more look at the network.
    await jest.advanceTimersByTimeAsync(1);
    expect(reply).toMatchObject({ granted: 1 });
    let next: Reply | undefined;
    void store.step(ask()).then((each) => (next = each));
    await jest.advanceTimersByTimeAsync(0);
    expect(next).toMatchObject({ granted: 1 });
  });

  test('is tried again once a second at most, while nobody waits for it', async () => {
    const { shared, store } = pair();
    shared.state = 'fails';
    const timer = setInterval(() => void store.step(ask()), 100);
    await jest.advanceTimersByTimeAsync(3_000);
    clearInterval(timer);
    expect(shared.asks.length).toBeGreaterThanOrEqual(3);
    expect(shared.asks.length).toBeLessThanOrEqual(4);
  });

  test('that is back hears what it has missed, with its age, and is asked again', async () => {
    const { shared, store } = pair();
    shared.state = 'fails';
    const { firstSeq, at } = await store.step(ask());
    await store.step(ask({ want: 0, reports: [served(firstSeq, at)] }));
    shared.state = 'answers';
    shared.asks.length = 0;
    await jest.advanceTimersByTimeAsync(1_000);
    await store.step(ask());
    await jest.advanceTimersByTimeAsync(0);
    const [report] = shared.asks.flatMap(({ reports }) => reports);
    // The number of a grant of ours means nothing to it.
    expect(report).toMatchObject({ seq: 0, outcome: 'served', ageMs: 1_000 });
    expect(await store.step(ask())).toMatchObject({ granted: 1, peers: 4 });
  });

  test('hears no more than the newest twenty of each bucket', async () => {
    const { shared, store } = pair();
    shared.state = 'fails';
    const attempted = Array.from({ length: 50 }, (_, attempt) => ({ ...served(0, 0), attempt }));
    await store.step(ask({ want: 0, reports: attempted.slice(0, 25) }));
    await store.step(ask({ want: 0, reports: attempted.slice(25) }));
    shared.state = 'answers';
    shared.asks.length = 0;
    await jest.advanceTimersByTimeAsync(1_000);
    await store.step(ask());
    await jest.advanceTimersByTimeAsync(0);
    const attempts = shared.asks.flatMap(({ reports }) => reports.map(({ attempt }) => attempt));
    expect(attempts).toEqual(Array.from({ length: 20 }, (_, index) => 30 + index));
  });

  test('learns nothing from numbers that are not its own, and we nothing from its', async () => {
    const { shared, own, store } = pair();
    shared.state = 'fails';
    const alone = await store.step(ask());
    expect(alone.firstSeq).toBeGreaterThan(2 ** 40);
    shared.state = 'answers';
    await jest.advanceTimersByTimeAsync(1_000);
    await store.step(ask({ want: 0 }));
    await jest.advanceTimersByTimeAsync(0);
    shared.asks.length = 0;
    const learn = jest.spyOn(own, 'step');
    await store.step(ask({ want: 0, reports: [served(alone.firstSeq, alone.at), served(7, 7)] }));
    expect(shared.asks[0]?.reports.map(({ seq }) => seq)).toEqual([0, 7]);
    expect(learn.mock.lastCall?.[0].reports.map(({ seq }) => seq)).toEqual([1, 0]);
  });
});
