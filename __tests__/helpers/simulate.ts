import { SimulatedGates } from './simulated-gates.ts';
import type { GateSettings, SimulatedRequest } from './simulated-gates.ts';
import { SimulatedVenice } from './simulated-venice.ts';
import type { VeniceSettings } from './simulated-venice.ts';
import { Dice, VirtualTime } from './virtual-time.ts';

/** Who asks, and when. */
export interface Load {
  readonly key?: string;
  readonly model?: string;
  /** Milliseconds after the start. */
  readonly fromMs?: number;
  /** All at once, evenly one after the other, or by chance so many a minute (Poisson). */
  readonly kind: 'burst' | 'steady' | 'chance';
  readonly count: number;
  /** Over this time; none for a burst. */
  readonly overMs?: number;
  /** How long a request waits for an answer. */
  readonly patienceMs?: number;
}

export interface Scenario {
  readonly seed: number;
  readonly venice: VeniceSettings;
  readonly gates?: Partial<GateSettings>;
  readonly loads: readonly Load[];
  /** The simulation ends then at the latest; before, when all are served or have left. */
  readonly untilMs: number;
  /** Keys that are blocked from the start. */
  readonly blocked?: readonly string[];
}

/** What came of it. */
export interface Outcome {
  readonly requests: readonly SimulatedRequest[];
  readonly venice: SimulatedVenice;
  readonly gates: SimulatedGates;
  readonly startedAt: number;
  /** Milliseconds from the start to the end. */
  readonly tookMs: number;
  readonly answered: number;
  readonly unanswered: number;
}

const START = Date.parse('2026-09-01T12:00:00Z');

const GATES: GateSettings = {
  count: 1,
  isShared: false,
  peers: 1,
  storeMs: [0.5, 2],
  networkMs: [2, 12],
};

/** Plays a scenario to its end; the same seed, the same play. */
export function simulate(scenario: Scenario): Outcome {
  const dice = new Dice(scenario.seed);
  // Anywhere in a minute: stamps are whole seconds.
  const time = new VirtualTime(START + dice.within([0, 60_000]));
  const venice = new SimulatedVenice(scenario.venice, time, dice);
  const gates = new SimulatedGates({ ...GATES, ...scenario.gates }, venice, time, dice);
  for (const key of scenario.blocked ?? []) venice.block(key);
  const requests: SimulatedRequest[] = [];
  let expected = 0;
  for (const load of scenario.loads) {
    for (const delayMs of arrivals(load, dice)) {
      expected += 1;
      time.after(delayMs, () => {
        const request = newRequest(load, requests.length % gates.settings.count, time.now);
        requests.push(request);
        gates.arrive(request);
      });
    }
  }
  time.run(scenario.untilMs, () => gates.answered + gates.left === expected);
  return {
    requests,
    venice,
    gates,
    startedAt: time.startedAt,
    tookMs: time.now - time.startedAt,
    answered: gates.answered,
    unanswered: expected - gates.answered,
  };
}

function arrivals({ kind, count, fromMs = 0, overMs = 0 }: Load, dice: Dice): number[] {
  return Array.from({ length: count }, (_, index) => {
    if (kind === 'burst') return fromMs;
    // Poisson arrivals of a known number lie evenly distributed over the time.
    return fromMs + overMs * (kind === 'steady' ? index / count : dice.next());
  });
}

function newRequest(load: Load, gate: number, now: number): SimulatedRequest {
  const { key = 'key', model = 'model', patienceMs = Infinity } = load;
  return {
    key,
    model,
    gate,
    arrivedAt: now,
    deadline: now + patienceMs,
    attempts: 0,
    admittedAt: 0,
    answeredAt: 0,
    hasLeft: false,
  };
}
