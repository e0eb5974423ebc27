import { createLog } from '../debug.ts';
import { ProxyError, seconds } from '../errors.ts';
import type { ProxyErrorCode } from '../errors.ts';
import { callHook } from '../hooks.ts';
import type { Config } from '../options.ts';
import type { Cancellable, RequestContext } from '../request-context.ts';
import { BucketLine } from './bucket-line.ts';
import type { Waiter } from './bucket-line.ts';
import { BucketNames, bucketId } from './bucket-name.ts';
import type { BucketName } from './bucket-name.ts';
import { FallbackStore } from './fallback-store.ts';
import type { BucketState } from './gate-state.ts';
import type { GateStore, HoldReason, Report } from './gate-store.ts';
import { Grant } from './grant.ts';
import { bucketStateOf } from './look-at-bucket.ts';
import type { Sighting } from './look-at-bucket.ts';
import { MemoryStore } from './memory-store.ts';

const log = createLog('rate-gate');

/** The OpenAI SDKs take no notice of a `Retry-After` that is longer. */
const LONGEST_SDK_WAIT_MS = 60_000;

const NO_REPORTS: readonly Report[] = [];

/** Who asks for leave. */
interface Patient {
  /** How many milliseconds it may be held, as of now. */
  readonly mayWaitMs: number;
}

/** Lets requests go upstream as their window allows, and holds the others until it does. */
export class RateGate {
  readonly names: BucketNames;
  readonly #config: Config;
  readonly #holding: Holding;
  readonly #store: GateStore;
  /** Where the windows are shared, it knows what this process has heard. */
  readonly #own = new MemoryStore();
  readonly #isShared: boolean;
  readonly #terms: { readonly budgetWindowMs: number };
  readonly #lines = new Map<string, BucketLine>();

  constructor(config: Config) {
    this.names = new BucketNames(config.target);
    this.#config = config;
    this.#holding = { config, report: (name, report) => this.#report(name, report) };
    this.#isShared = config.store !== undefined;
    this.#terms = { budgetWindowMs: config.rateLimitWaitMs };
    this.#store =
      config.store === undefined
        ? this.#own
        : new FallbackStore(config.store, this.#own, config.storeTimeoutMs);
  }

  /**
   * Leave for the next attempt of a request: at once where nothing speaks against it.
   * `undefined` when the request has ended while it was held.
   *
   * @throws ProxyError when it would have to wait for longer, or too many wait already
   */
  enter(
    context: RequestContext,
    name: BucketName,
    patient: Patient,
  ): Grant | Promise<Grant | undefined> {
    const { key, bucket, id } = name;
    const line = this.#lines.get(id);
    if (line === undefined && !this.#isShared) {
      const reply = this.#store.step({ key, bucket, want: 1, reports: NO_REPORTS, ...this.#terms });
      if (!(reply instanceof Promise) && reply.granted === 1) {
        return new Grant(name, reply.firstSeq, reply.at, this.#holding.report);
      }
    }
    return this.#hold(context, line ?? this.#open(id, name), patient.mayWaitMs);
  }

  /** What this process knows of the windows, in no order. */
  buckets(): readonly BucketState[] {
    const seen: Sighting[] = [];
    const lines = new Set(this.#lines.values());
    this.#own.look((key, bucket, known) => {
      const line = this.#lines.get(bucketId(key, bucket));
      if (line !== undefined) lines.delete(line);
      seen.push({ key, bucket, known, line });
    });
    for (const line of lines) {
      const { key, bucket } = line.name;
      seen.push({ key, bucket, known: undefined, line });
    }
    const { now } = this.#own;
    const monotonicNow = performance.now();
    return seen.map((each) => bucketStateOf(each, now, monotonicNow));
  }

  #open(id: string, name: BucketName): BucketLine {
    const line = new BucketLine(name, this.#store, this.#terms.budgetWindowMs, () => {
      if (this.#lines.get(id) === line) this.#lines.delete(id);
    });
    this.#lines.set(id, line);
    return line;
  }

  #report(name: BucketName, report: Report): void {
    const { key, bucket, id } = name;
    const line = this.#lines.get(id);
    if (line !== undefined) line.report(report);
    else if (this.#isShared) this.#open(id, name).report(report);
    else void this.#store.step({ key, bucket, want: 0, reports: [report], ...this.#terms });
  }

  #hold(context: RequestContext, line: BucketLine, patienceMs: number): Promise<Grant | undefined> {
    const hasReturned = context.attempts > 0;
    // Whether whoever would be the first must wait at all, only asking can tell.
    if (!hasReturned && line.length >= Math.max(1, this.#config.maxQueue)) {
      throw queueFull(context, this.#config, line.opensMs());
    }
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + patienceMs;
      const held = new HeldRequest(context, this.#holding, line, deadline, resolve, reject);
      context.busyWith = held;
      line.join(held, hasReturned);
    });
  }
}

function queueFull(
  context: RequestContext,
  { maxQueue, rateLimitWaitMs }: Config,
  opensMs: number | undefined,
): ProxyError {
  const message =
    maxQueue === 0
      ? 'The rate limit of this model is used up, and nobody may wait for it.'
      : `${maxQueue} requests wait for the rate limit of this model already.`;
  return refusal(context, 'queue_full', message, opensMs ?? rateLimitWaitMs);
}

/** What the client is told, and when it may come back. */
function refusal(
  context: RequestContext,
  code: ProxyErrorCode,
  message: string,
  retryAfterMs: number,
  isModelBusy = false,
): ProxyError {
  context.givenUp = { retryAfterMs, isFinal: retryAfterMs > LONGEST_SDK_WAIT_MS, isModelBusy };
  return new ProxyError(code, message);
}

/** What those who are held have in common. */
interface Holding {
  readonly config: Config;
  readonly report: (name: BucketName, report: Report) => void;
}

/** A request that waits in the gate: thousands may, so it holds no function of its own but two. */
class HeldRequest implements Waiter, Cancellable {
  readonly deadline: number;
  isHeld = false;
  readonly since = performance.now();
  readonly #context: RequestContext;
  readonly #holding: Holding;
  readonly #line: BucketLine;
  readonly #resolve: (grant: Grant | undefined) => void;
  readonly #reject: (error: ProxyError) => void;

  constructor(
    context: RequestContext,
    holding: Holding,
    line: BucketLine,
    deadline: number,
    resolve: (grant: Grant | undefined) => void,
    reject: (error: ProxyError) => void,
  ) {
    this.deadline = deadline;
    this.#context = context;
    this.#holding = holding;
    this.#line = line;
    this.#resolve = resolve;
    this.#reject = reject;
    context.beginWait('held', this.since);
  }

  admit(seq: number, at: number): void {
    const heldMs = this.#end();
    if (this.isHeld) {
      const { id, model } = this.#context;
      log('let through', { id, model, heldMs });
    }
    this.#resolve(new Grant(this.#line.name, seq, at, this.#holding.report));
  }

  refuse(opensMs: number | undefined, reason: HoldReason): void {
    const { rateLimitWaitMs, maxWaitMs } = this.#holding.config;
    const retryAfterMs = opensMs ?? rateLimitWaitMs;
    const message =
      opensMs === undefined
        ? `The rate limit of this model let nothing through for ${seconds(maxWaitMs)}.`
        : `The rate limit of this model is used up: its next place is free in ` +
          `${seconds(Math.ceil(opensMs / 1_000) * 1_000)}, later than this request may wait.`;
    // Others have been refused, although the window was open.
    const isModelBusy = reason === 'refused';
    this.#endWith(
      refusal(this.#context, 'rate_limit_exceeded', message, retryAfterMs, isModelBusy),
    );
  }

  hold(reason: HoldReason, ahead: number, expectedMs: number | undefined): void {
    const context = this.#context;
    const { config } = this.#holding;
    if (context.attempts === 0 && ahead >= config.maxQueue) {
      this.#endWith(queueFull(context, config, expectedMs));
      return;
    }
    const event = { attempt: context.attempts + 1, reason, ahead, expectedMs };
    log('held', { id: context.id, model: context.model, ...event });
    callHook(config.on.hold, { request: context.info(), ...event });
  }

  cancel(): void {
    this.#end();
    this.#line.leave(this);
    this.#resolve(undefined);
  }

  #endWith(error: ProxyError): void {
    this.#end();
    this.#line.leave(this);
    this.#reject(error);
  }

  #end(): number {
    this.#context.busyWith = undefined;
    return this.#context.endWait();
  }
}
