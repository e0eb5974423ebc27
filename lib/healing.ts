import type { OutgoingHttpHeaders } from 'node:http';
import { createLog } from './debug.ts';
import { decodeBeginning } from './decode-body.ts';
import { FirstTries } from './first-tries.ts';
import type { FirstTry } from './first-tries.ts';
import type { HeldBytes } from './held-bytes.ts';
import { callHook } from './hooks.ts';
import { cutMembers, findMembers, isNull } from './json-members.ts';
import { isPlainName, learnableMembers } from './learnable-members.ts';
import { LearnedParams, placeOf } from './learned-params.ts';
import type { Refusal, Refusals } from './learned-params.ts';
import type { Config } from './options.ts';
import { refusedFields } from './refused-fields.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

const log = createLog('healing');

const MOST_ROUNDS = 3;

/** What the requests of one router share. */
export interface SharedHealing {
  readonly learnable: ReadonlySet<string>;
  readonly learned: LearnedParams;
  readonly tries: FirstTries;
}

/** `undefined` where nothing is to be learnt. */
export function shareHealing(config: Config): SharedHealing | undefined {
  if (!config.learnParams) return undefined;
  return {
    learnable: learnableMembers(config),
    learned: new LearnedParams(),
    tries: new FirstTries(),
  };
}

/** Frees one request of the parameters that the upstream refuses. */
export class Healing {
  /** How often it was sent again because of what it learned. */
  rounds = 0;
  readonly #context: RequestContext;
  readonly #headers: OutgoingHttpHeaders;
  readonly #config: Config;
  readonly #shared: SharedHealing;
  readonly #place: string;
  #gone: Set<string> | undefined;
  #applied: Refusals | undefined;
  #hasAskedForTry = false;
  #firstTry: FirstTry | undefined;

  private constructor(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
    config: Config,
    shared: SharedHealing,
    place: string,
  ) {
    this.#context = context;
    this.#headers = headers;
    this.#config = config;
    this.#shared = shared;
    this.#place = place;
  }

  /**
   * @param headers - those of the upstream call: the length is kept true
   * @returns `undefined` for a request that must not be changed, or not be sent again
   */
  static of(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
    config: Config,
    shared: SharedHealing | undefined,
  ): Healing | undefined {
    const { method, body, replayClass } = context;
    const mayChange = method === 'POST' && body.kind === 'held' && !body.isEncoded;
    if (shared === undefined || !mayChange || replayClass === 'never') return undefined;
    const place = placeOf(context.route, context.model);
    if (place === undefined) return undefined;
    return new Healing(context, headers, config, shared, place);
  }

  /** Ends when somebody has found out what this request would; nobody waits twice. */
  otherTry(): Promise<void> | undefined {
    const { refusable } = this.#context;
    if (this.#hasAskedForTry || refusable === undefined) return undefined;
    this.#hasAskedForTry = true;
    const known = this.#shared.learned.of(this.#place);
    const members = [...refusable];
    const isSettled = members.every(([name, refusal]) => {
      const its = known?.get(name);
      return its === 'any' || its === refusal;
    });
    if (isSettled) return undefined;
    // With those that are known, too: whoever comes between two rounds of a try is to wait for it.
    const kind = JSON.stringify([this.#place, ...members.map((each) => each.join(' ')).toSorted()]);
    const begun = this.#shared.tries.begin(kind);
    if (begun instanceof Promise) return begun;
    this.#firstTry = begun;
    return undefined;
  }

  /** Drops what is known to be refused. */
  dropKnown(): void {
    const known = this.#shared.learned.of(this.#place);
    if (known === undefined || known === this.#applied) return;
    this.#applied = known;
    this.#drop(known);
  }

  /** Whether the request is to be sent once more, without what this answer refuses. */
  learnFrom(answer: UpstreamAnswer): boolean {
    if (answer.status !== 400) return false;
    const refused = refusedFields(
      decodeBeginning(answer.joined, answer.headers['content-encoding']),
    );
    const { unknown, nulls, others } = refused;
    const { learned } = this.#shared;
    for (const name of this.#gone ?? []) {
      // Still not content: that it was there was not what is wrong with it.
      const isNamed = unknown.has(name) || nulls.has(name) || others.has(name);
      if (isNamed) learned.forget(this.#place, name);
    }
    const { mayGo, mustStay } = this.#sort(unknown, nulls);
    for (const [name, refusal] of mayGo) learned.learn(this.#place, name, refusal);
    // What cannot be helped would be refused again.
    const isHopeless = mayGo.size === 0 || mustStay > 0 || others.size > 0;
    if (isHopeless || this.rounds >= MOST_ROUNDS) return false;
    this.rounds += 1;
    const { id, model } = this.#context;
    const params = [...mayGo.keys()].join(',');
    log('sent once more without what was refused', { id, model, params, round: this.rounds });
    this.#drop(mayGo);
    return true;
  }

  /** The attempt and its rounds are over. */
  endTry(wasTaken: boolean): void {
    this.#firstTry?.end(wasTaken);
    this.#firstTry = undefined;
  }

  /** Which of the refused members that are there may go, and how many may not. */
  #sort(unknown: ReadonlySet<string>, nulls: ReadonlySet<string>) {
    const mayGo = new Map<string, Refusal>();
    let mustStay = 0;
    const { body } = this.#context;
    if (body.kind !== 'held') return { mayGo, mustStay };
    const named = new Set([...unknown, ...nulls]);
    for (const [name, hasNull] of lastValues(body.bytes, named)) {
      if (unknown.has(name) && this.#shared.learnable.has(name)) mayGo.set(name, 'any');
      else if (hasNull && isPlainName(name)) mayGo.set(name, 'null');
      else mustStay += 1;
    }
    return { mayGo, mustStay };
  }

  #drop(refusals: Refusals): void {
    const context = this.#context;
    const { body } = context;
    if (body.kind !== 'held') return;
    const params = [...lastValues(body.bytes, new Set(refusals.keys()))]
      .filter(([name, hasNull]) => hasNull || refusals.get(name) === 'any')
      .map(([name]) => name);
    if (params.length === 0) return;
    // All of a name: with only the last one gone, the one before it would count.
    const members = body.bytes.look((json) => findMembers(json, new Set(params))) ?? [];
    const bytes = body.bytes.edited(cutMembers(body.bytes.length, members, () => true));
    context.body = { ...body, bytes };
    this.#headers['content-length'] = String(bytes.length);
    this.#gone ??= new Set();
    for (const name of params) this.#gone.add(name);
    context.dropped = Object.freeze([...context.dropped, ...params]);
    callHook(this.#config.on.drop, {
      request: context.info(),
      params: Object.freeze(params),
    });
  }
}

/** Those of the names that are there, each with whether its value is `null`: the last one counts. */
function lastValues(body: HeldBytes, names: ReadonlySet<string>): ReadonlyMap<string, boolean> {
  return body.look((json) => {
    const members = findMembers(json, names) ?? [];
    return new Map(members.map((each) => [each.name, isNull(json, each)]));
  });
}
