import { createLog } from '../debug.ts';
import { describeError } from '../errors.ts';
import type { Ask, GateStore, Reply, Report } from './gate-store.ts';
import type { MemoryStore } from './memory-store.ts';

const log = createLog('rate-gate');

/** So long a failed store is left alone. */
const ASK_AGAIN_MS = 1_000;
/** Grants of this process's own have numbers above this: the store does not know them. */
const OWN_NUMBERS = 2 ** 40;
/** So many of the newest reports of each bucket the store hears when it is back. */
const KEPT_REPORTS = 20;
const MOST_BACKLOGS = 1_000;

interface Backlog {
  readonly ask: Ask;
  reports: { readonly report: Report; readonly at: number }[];
}

/**
 * A shared store, and this process's own view for when that is gone or slow: no request fails or
 * waits because of the store.
 */
export class FallbackStore implements GateStore {
  readonly #shared: GateStore;
  readonly #own: MemoryStore;
  readonly #timeoutMs: number;
  #isAlone = false;
  #isAsking = false;
  #askAgainAt = 0;
  readonly #backlogs = new Map<string, Backlog>();

  /** @param timeoutMs - how long the shared store may take */
  constructor(shared: GateStore, own: MemoryStore, timeoutMs: number) {
    this.#shared = shared;
    this.#own = own;
    this.#timeoutMs = timeoutMs;
  }

  async step(ask: Ask): Promise<Reply> {
    if (this.#isAlone) {
      void this.#askAgain(ask);
      return this.#stepAlone(ask);
    }
    try {
      const reply = await this.#stepShared(ask);
      // What it would need to know if it were alone from here on.
      this.#own.peers = Math.max(1, reply.peers);
      if (ask.reports.length > 0) this.#own.step({ ...ask, want: 0, reports: forOwn(ask.reports) });
      return reply;
    } catch (error) {
      if (!this.#isAlone) {
        log('the store failed, this process goes on alone', { cause: describeError(error) });
      }
      this.#isAlone = true;
      this.#askAgainAt = performance.now() + ASK_AGAIN_MS;
      return this.#stepAlone(ask);
    }
  }

  #stepAlone(ask: Ask): Reply {
    this.#keep(ask);
    const reply = this.#own.step({ ...ask, reports: forOwn(ask.reports) });
    return { ...reply, firstSeq: reply.firstSeq + OWN_NUMBERS };
  }

  async #stepShared(ask: Ask): Promise<Reply> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_resolve, reject) => {
      const error = new Error(`no answer within ${this.#timeoutMs} ms`);
      // One more look at the network: after a pause of this process the answer may lie there already.
      timer = setTimeout(() => setImmediate(reject, error), this.#timeoutMs);
    });
    try {
      return await Promise.race([
        this.#shared.step({ ...ask, reports: forShared(ask.reports) }),
        tooLate,
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Nobody waits for this. */
  async #askAgain(ask: Ask): Promise<void> {
    if (this.#isAsking || performance.now() < this.#askAgainAt) return;
    this.#isAsking = true;
    try {
      await this.#stepShared({ ...ask, want: 0, reports: [] });
      // One after the other: all at once, the last would wait for longer than the store may take.
      for (const [name, backlog] of this.#backlogs) {
        // oxlint-disable-next-line no-await-in-loop -- see above
        await this.#send(backlog);
        // What came meanwhile is told when it is asked for the next time.
        if (backlog.reports.length === 0) this.#backlogs.delete(name);
      }
      this.#isAlone = false;
      log('the store is back');
    } catch {
      this.#askAgainAt = performance.now() + ASK_AGAIN_MS;
    } finally {
      this.#isAsking = false;
    }
  }

  async #send(backlog: Backlog): Promise<void> {
    const { ask, reports } = backlog;
    backlog.reports = [];
    const aged = reports.map(({ report, at }) => ({
      ...report,
      ageMs: Math.round(performance.now() - at),
    }));
    try {
      await this.#stepShared({ ...ask, want: 0, reports: aged });
    } catch (error) {
      backlog.reports = [...reports, ...backlog.reports].slice(-KEPT_REPORTS);
      throw error;
    }
  }

  #keep(ask: Ask): void {
    if (ask.reports.length === 0) return;
    const name = `${ask.key} ${ask.bucket}`;
    const backlog = this.#backlogs.get(name) ?? { ask, reports: [] };
    if (!this.#backlogs.has(name)) {
      if (this.#backlogs.size >= MOST_BACKLOGS) return;
      this.#backlogs.set(name, backlog);
    }
    const at = performance.now();
    const added = ask.reports.map((report) => ({ report, at }));
    backlog.reports = [...backlog.reports, ...added].slice(-KEPT_REPORTS);
  }
}

function forShared(reports: readonly Report[]): readonly Report[] {
  return reports.map((report) => (report.seq > OWN_NUMBERS ? { ...report, seq: 0 } : report));
}

function forOwn(reports: readonly Report[]): readonly Report[] {
  return reports.map((report) => ({
    ...report,
    seq: report.seq > OWN_NUMBERS ? report.seq - OWN_NUMBERS : 0,
  }));
}
