import { simulate } from '../__tests__/helpers/simulate.ts';
import type { Load, Scenario } from '../__tests__/helpers/simulate.ts';
import type { SimulatedRequest } from '../__tests__/helpers/simulated-gates.ts';
import type { Allowance, VeniceSettings } from '../__tests__/helpers/simulated-venice.ts';

const MINUTE_MS = 60_000;
/** What `maxWait` is, where nobody sets it. */
const PATIENCE_MS = 300_000;
const SLOTS = 60;

/** One simulated day at the office, or a part of it. */
export interface Play {
  readonly name: string;
  readonly requests: number;
  readonly answered: number;
  /** Those that waited for as long as they would. */
  readonly left: number;
  /** Answers, as a fraction of what the limit allowed in that time. */
  readonly used: number;
  /** 429 for the limit. */
  readonly refused: number;
  readonly blocks: number;
  /** Milliseconds until a request was let through. */
  readonly waitP50: number;
  readonly waitP99: number;
  readonly minutes: number;
  /** The same fraction over time, and how many waited. */
  readonly usedAt: readonly number[];
  readonly waitingAt: readonly number[];
}

interface Plan {
  readonly name: string;
  readonly venice: VeniceSettings;
  readonly gates?: Scenario['gates'];
  readonly blocked?: readonly string[];
  readonly keys?: readonly string[];
  /** What is asked for, as a fraction of the limit. */
  readonly demand: number;
  readonly kind?: Load['kind'];
}

const perMinute = (limit: number): Allowance => ({ limit, windowMs: MINUTE_MS });

function plans(minutes: number): readonly Plan[] {
  const at = (fraction: number): number => fraction * minutes * MINUTE_MS;
  return [
    { name: 'a little less than the limit', venice: { requests: perMinute(100) }, demand: 0.9 },
    { name: 'a third more than the limit', venice: { requests: perMinute(100) }, demand: 1.33 },
    {
      name: 'bursts of two windows',
      venice: { requests: perMinute(100), stamps: 'floor' },
      demand: 0.5,
      kind: 'burst',
    },
    {
      name: '4 replicas that share 3 keys, 3 models',
      venice: {
        requests: perMinute(100),
        models: { small: perMinute(200), large: perMinute(20) },
        isClockAligned: true,
      },
      gates: { count: 4, isShared: true },
      keys: ['one', 'two', 'three'],
      demand: 1.1,
    },
    {
      name: 'a limit that falls and rises',
      venice: {
        requests: perMinute(100),
        changes: [
          { ...perMinute(30), atMs: at(1 / 3) },
          { ...perMinute(100), atMs: at(2 / 3) },
        ],
      },
      demand: 0.95,
    },
    {
      name: 'outages and an overloaded model',
      venice: {
        requests: perMinute(100),
        troubles: [
          { kind: 'outage', share: 1, fromMs: at(0.2), untilMs: at(0.22) },
          { kind: 'overload', share: 0.3, fromMs: at(0.5), untilMs: at(0.6) },
        ],
      },
      demand: 0.8,
    },
    {
      name: 'no headers at all',
      venice: { requests: perMinute(100), hasHeaders: false },
      demand: 1.1,
    },
    {
      name: 'a key that is blocked at first',
      venice: { requests: perMinute(100) },
      blocked: ['one'],
      demand: 0.9,
    },
  ];
}

/** Plays all scenarios, each for so many simulated minutes; the same seed, the same plays. */
export function playAll(minutes: number, seed: number): readonly Play[] {
  return plans(minutes).map((plan, index) => play(plan, minutes, seed + index));
}

function play(plan: Plan, minutes: number, seed: number): Play {
  const { venice, gates, blocked, keys = ['one'], demand, kind = 'chance' } = plan;
  const models = Object.entries(venice.models ?? {}).map(([name, { limit }]) => ({ name, limit }));
  models.push({ name: 'medium', limit: venice.requests.limit });
  const loads = keys.flatMap((key) =>
    models.flatMap(({ name, limit }) => {
      const count = Math.round(demand * limit * minutes);
      return loadsOf(kind, { key, model: name, count, limit, minutes });
    }),
  );
  const outcome = simulate({
    seed,
    venice: { answerMs: [500, 8_000], budget: 50, ...venice },
    gates: { ...gates },
    loads,
    untilMs: minutes * MINUTE_MS + PATIENCE_MS + MINUTE_MS,
    blocked: blocked ?? [],
  });
  const { requests, startedAt } = outcome;
  const capacity = capacityOf(venice, models, keys.length, minutes);
  const admitted = requests.filter(({ admittedAt }) => admittedAt > 0);
  const inTime = (at: number): boolean => at < startedAt + minutes * MINUTE_MS;
  const usedIn = admitted.filter((each) => each.answeredAt > 0 && inTime(each.admittedAt));
  const total = capacity.reduce((sum, each) => sum + each, 0);
  const waits = admitted.map(({ arrivedAt, admittedAt }) => admittedAt - arrivedAt);
  waits.sort((one, other) => one - other);
  return {
    name: plan.name,
    requests: requests.length,
    answered: outcome.answered,
    left: outcome.gates.left,
    used: usedIn.length / total,
    refused: outcome.gates.refusals.window,
    blocks: outcome.venice.blocks,
    waitP50: waits[Math.floor(waits.length * 0.5)] ?? 0,
    waitP99: waits[Math.floor(waits.length * 0.99)] ?? 0,
    minutes,
    usedAt: perSlot(usedIn, startedAt, minutes).map((count, slot) => count / (capacity[slot] ?? 1)),
    waitingAt: waiting(requests, startedAt, minutes),
  };
}

function loadsOf(
  kind: Load['kind'],
  {
    key,
    model,
    count,
    limit,
    minutes,
  }: Record<'key' | 'model', string> & Record<'count' | 'limit' | 'minutes', number>,
): Load[] {
  const patienceMs = PATIENCE_MS;
  const overMs = minutes * MINUTE_MS;
  if (kind !== 'burst') return [{ kind, key, model, count, overMs, patienceMs }];
  const bursts = Math.max(1, Math.round(count / (2 * limit)));
  return Array.from({ length: bursts }, (_, index) => {
    const fromMs = (index / bursts) * overMs;
    return { kind, key, model, count: 2 * limit, fromMs, patienceMs };
  });
}

/** How many requests the upstream allows in each slot. */
function capacityOf(
  { changes = [] }: VeniceSettings,
  models: readonly { readonly limit: number }[],
  keys: number,
  minutes: number,
): number[] {
  const slotMinutes = minutes / SLOTS;
  const limits = models.reduce((sum, { limit }) => sum + limit, 0);
  return Array.from({ length: SLOTS }, (_, slot) => {
    const change = changes.findLast(({ atMs }) => atMs <= slot * slotMinutes * MINUTE_MS);
    return (change?.limit ?? limits) * keys * slotMinutes;
  });
}

function perSlot(
  admitted: readonly SimulatedRequest[],
  startedAt: number,
  minutes: number,
): number[] {
  const slots = Array.from({ length: SLOTS }, () => 0);
  for (const { admittedAt } of admitted) {
    const slot = Math.floor(((admittedAt - startedAt) / (minutes * MINUTE_MS)) * SLOTS);
    slots[slot] = (slots[slot] ?? 0) + 1;
  }
  return slots;
}

/** How many wait at the end of each slot. */
function waiting(
  requests: readonly SimulatedRequest[],
  startedAt: number,
  minutes: number,
): number[] {
  return Array.from({ length: SLOTS }, (_, slot) => {
    const at = startedAt + ((slot + 1) / SLOTS) * minutes * MINUTE_MS;
    return requests.filter(({ arrivedAt, admittedAt, deadline }) => {
      return arrivedAt <= at && at < (admittedAt > 0 ? admittedAt : deadline);
    }).length;
  });
}

/** The table that is printed. */
export function tableOf(plays: readonly Play[]): string {
  const head = ['', 'requests', 'answered', 'left', 'of limit', 'refused', 'blocks', 'p50', 'p99'];
  const rows = plays.map((each) => [
    each.name,
    String(each.requests),
    String(each.answered),
    String(each.left),
    percent(each.used),
    String(each.refused),
    String(each.blocks),
    seconds(each.waitP50),
    seconds(each.waitP99),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return column === 0 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join('  '),
    )
    .join('\n');
}

export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
