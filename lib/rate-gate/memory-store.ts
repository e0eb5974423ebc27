import type { Ask, GateStore, Reply } from './gate-store.ts';
import { newBucketState, newKeyState, step } from './policy.ts';
import type { BucketState, KeyState } from './policy.ts';

/** Nobody has asked for it for so long: what it knew is not true any more. */
const IDLE_MS = 600_000;
const SWEEP_EVERY_MS = 60_000;
/** More keys, or models of one key, than anybody has: the one that rested longest is forgotten. */
const MOST_KEYS = 20_000;
const MOST_BUCKETS = 1_000;

interface KeyEntry {
  readonly state: KeyState;
  readonly buckets: Map<string, BucketState>;
  usedAt: number;
}

/** What is known of one bucket, and of its key. */
export interface KnownBucket {
  readonly keyState: KeyState;
  readonly state: BucketState;
  /** Processes that share the windows without telling this one. */
  readonly peers: number;
}

/** Keeps the windows in this process. */
export class MemoryStore implements GateStore {
  /** Processes that share the windows without telling this one. */
  peers = 1;
  readonly #keys = new Map<string, KeyEntry>();
  #newest: KeyEntry | undefined;
  #sweeping: NodeJS.Timeout | undefined;

  step(ask: Ask): Reply {
    const { now } = this;
    const entry = this.#entry(ask.key, now);
    let bucket = entry.buckets.get(ask.bucket);
    if (bucket === undefined) {
      bucket = newBucketState(now);
      if (entry.buckets.size >= MOST_BUCKETS) deleteFirst(entry.buckets);
      entry.buckets.set(ask.bucket, bucket);
    }
    return step(entry.state, bucket, ask, { now, peers: this.peers });
  }

  /** Its clock: milliseconds since 1970, which never go back. */
  get now(): number {
    return Math.round(performance.timeOrigin + performance.now());
  }

  /** Hands out everything that is known, for reading. */
  look(see: (key: string, bucket: string, known: KnownBucket) => void): void {
    const { peers } = this;
    for (const [key, { state: keyState, buckets }] of this.#keys) {
      for (const [bucket, state] of buckets) see(key, bucket, { keyState, state, peers });
    }
  }

  /** How many keys are known. */
  get size(): number {
    return this.#keys.size;
  }

  #entry(key: string, now: number): KeyEntry {
    let entry = this.#keys.get(key);
    if (entry === undefined) {
      entry = { state: newKeyState(), buckets: new Map(), usedAt: now };
      if (this.#keys.size >= MOST_KEYS) deleteFirst(this.#keys);
    } else if (entry === this.#newest) {
      // Nearly always: it stands at the end already.
      entry.usedAt = now;
      return entry;
    } else {
      this.#keys.delete(key);
    }
    // In the order of their last use.
    entry.usedAt = now;
    this.#newest = entry;
    this.#keys.set(key, entry);
    this.#sweepLater();
    return entry;
  }

  #sweepLater(): void {
    if (this.#sweeping !== undefined) return;
    this.#sweeping = setTimeout(() => {
      this.#sweeping = undefined;
      this.#sweep();
    }, SWEEP_EVERY_MS).unref();
  }

  #sweep(): void {
    const longAgo = performance.timeOrigin + performance.now() - IDLE_MS;
    for (const [key, { usedAt, buckets }] of this.#keys) {
      if (usedAt < longAgo) this.#keys.delete(key);
      for (const [name, { grantedAt }] of buckets) if (grantedAt < longAgo) buckets.delete(name);
    }
    if (this.#keys.size > 0) this.#sweepLater();
  }
}

function deleteFirst(map: Map<string, unknown>): void {
  for (const first of map.keys()) {
    map.delete(first);
    return;
  }
}
