import { setTimeout as rest } from 'node:timers/promises';
import { createStandInVenice } from '../../examples/stand-in-venice.ts';
import type { StandInVenice } from '../../examples/stand-in-venice.ts';
import { seeded } from '../helpers/seeded.ts';
import { Clients } from './clients.ts';
import { contradictions } from './reconcile.ts';
import type { AtRest, Result, Sample } from './report.ts';
import { REFUSED_FIELDS } from './requests.ts';
import { Subject } from './subject.ts';
import { UpstreamAccount } from './upstream-account.ts';

/** Of the whole run. */
const WARM_UP = 0.3;
const SAMPLE_EVERY_MS = 2_000;
/** Half a minute. */
const SAMPLES_OF_LOAD = 15;
/** So long what is left may take to go when nobody asks for anything any more. */
const REST_MS = 10_000;
/** In a shorter run the server is not warm before it ends. */
const LONG_MINUTES = 5;
const MOST_GROWTH = 1.1;

// All else as the server has it by default; less patience, so that more happens in the time.
const SERVER = {
  TIMEOUT: '2',
  BASE_RETRY_DELAY: '0.05',
  MAX_RETRIES: '3',
  RATE_LIMIT_WAIT: '2',
  MAX_WAIT: '5',
  MAX_QUEUE: '12',
  HEARTBEAT: '0.3',
} as const;

const BASE_PATH = '/api/v1';

/** Mixed load with faults for so long, and what came of it. */
export async function soak(minutes: number, seed: number): Promise<Result> {
  let clients: Clients | undefined;
  const account = new UpstreamAccount(BASE_PATH, (id) => clients?.expected(id));
  const venice = createStandInVenice({
    basePath: BASE_PATH,
    onCall: account.onCall,
    keptCalls: 0,
    requests: { limit: 40, windowMs: 2_000 },
    tokens: { limit: 5_000_000, windowMs: 2_000 },
    abuse: { failures: 50, windowMs: 2_000 },
    refuseFields: REFUSED_FIELDS,
    tokenDelayMs: 2,
    latencyMs: 3,
  });
  const target = await venice.listen();
  const { subject, baseUrl } = await Subject.start({ ...SERVER, OPENAI_BASE_URL: target });
  try {
    clients = new Clients(baseUrl, seeded(seed));
    const times = await play(minutes, clients, subject, venice);
    if ((await subject.stop()) !== 0) times.faults.push('the server did not stop in order');
    times.faults.push(...subject.complaints, ...reconcile(clients, account, subject));
    const result: Result = {
      ...times,
      minutes,
      requests: clients.requests,
      upstreamCalls: account.calls,
      refused: Object.fromEntries(account.refused),
      held: subject.held,
      reasons: reasonsIn(subject),
      byKind: clients.counts('kind'),
      byTrouble: clients.counts('trouble'),
    };
    times.faults.push(...unproven(result));
    return result;
  } finally {
    await subject.stop();
    await venice.close();
  }
}

interface Times {
  readonly warm: AtRest;
  readonly after: AtRest;
  readonly samples: readonly Sample[];
  readonly faults: string[];
}

/** The load, and what the server holds before it, between its two parts, and after it. */
async function play(
  minutes: number,
  clients: Clients,
  subject: Subject,
  venice: StandInVenice,
): Promise<Times> {
  const samples: Sample[] = [];
  const { resources: before } = await subject.holdings('collect');
  const begunAt = performance.now();
  const sample = async (): Promise<void> => {
    const held = await subject.holdings('look');
    const seconds = (performance.now() - begunAt) / 1_000;
    samples.push({ ...held, seconds, requests: clients.requests });
  };
  const sampling = setInterval(() => void sample(), SAMPLE_EVERY_MS);
  try {
    const part = async (share: number): Promise<AtRest> => {
      await clients.load(minutes * 60_000 * share);
      const residentUnderLoadBytes = medianOf(samples.slice(-SAMPLES_OF_LOAD));
      return { ...(await atRest(clients, subject, venice, before)), residentUnderLoadBytes };
    };
    const warm = await part(WARM_UP);
    const after = await part(1 - WARM_UP);
    return { warm, after, samples, faults: [...remains(warm, after, minutes)] };
  } finally {
    clearInterval(sampling);
  }
}

/**
 * Nobody asks for anything: what the server holds now, it holds for nothing. Connections that are
 * kept for the next request do not count (Node does not wait for those); the upstream counts them.
 */
async function atRest(
  clients: Clients,
  subject: Subject,
  venice: StandInVenice,
  before: Readonly<Record<string, number>>,
): Promise<Omit<AtRest, 'residentUnderLoadBytes'>> {
  clients.closeConnections();
  const until = performance.now() + REST_MS;
  const kept = venice.openSockets;
  for (;;) {
    venice.server.closeIdleConnections();
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    const held = await subject.holdings('collect');
    // Those of which the upstream reads nothing do not hear that their other side has gone.
    const open = Math.max(0, venice.openSockets - clients.unread);
    const left = more(held.resources, before);
    if (open > 0) left['open connections, as the upstream sees it'] = open;
    const isOver = performance.now() > until;
    if (Object.keys(left).length === 0 || isOver) return { ...held, left, kept };
    // oxlint-disable-next-line no-await-in-loop
    await rest(200);
  }
}

/** What there is beyond what there was. */
function more(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): Record<string, number> {
  const entries = Object.entries(now).map(([kind, n]) => [kind, n - (before[kind] ?? 0)] as const);
  return Object.fromEntries(entries.filter(([, n]) => n > 0));
}

function* remains(warm: AtRest, after: AtRest, minutes: number): Generator<string> {
  for (const [kind, count] of Object.entries(after.left))
    yield `${count} × ${kind} left at the end`;
  if (minutes < LONG_MINUTES) return;
  // How much of its memory a process gives back at rest, and when, is chance.
  for (const what of ['heapBytes', 'residentUnderLoadBytes'] as const) {
    const growth = after[what] / warm[what];
    if (growth > MOST_GROWTH) yield `${what} has grown to ${growth.toFixed(2)} of what it was`;
  }
}

/** What has not happened, and so is not proved. */
function* unproven({ byKind, byTrouble, held, minutes }: Result): Generator<string> {
  // A short run may be over before it comes to the rare ones.
  if (minutes < LONG_MINUTES) return;
  for (const [kind, { answered = 0 }] of Object.entries(byKind)) {
    if (answered === 0) yield `no ${kind} was ever answered`;
  }
  for (const [trouble, endings] of Object.entries(byTrouble)) {
    if (Object.keys(endings).length === 0) yield `nobody ever met: ${trouble}`;
  }
  if (held === 0) yield 'no window was ever used up';
}

function medianOf(samples: readonly Sample[]): number {
  const sorted = samples.map(({ residentBytes }) => residentBytes).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function reasonsIn({ logged }: Subject): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome, status = 0, code = String(status) } of [...logged.values()].flat()) {
    if (outcome === 'client_left' || (outcome === 'answered' && code < '400')) continue;
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

/** The three sides, request by request. */
function* reconcile(
  { ended, requests }: Clients,
  { seen }: UpstreamAccount,
  { logged, unnamed }: Subject,
): Generator<string> {
  if (ended.size !== requests) yield `${requests - ended.size} requests have no end`;
  let unlogged = 0;
  for (const [id, { request, told }] of ended) {
    if (!logged.has(id)) unlogged += 1;
    const accounts = { request, told, logged: logged.get(id) ?? [], seen: seen.get(id) };
    for (const each of contradictions(accounts)) {
      yield `${request.kind.name} ${id} (${request.trouble?.name ?? 'no trouble'}): ${each}`;
    }
  }
  if (unnamed > unlogged) yield `${unnamed} requests without a name, ${unlogged} not in the log`;
  for (const id of new Set([...logged.keys(), ...seen.keys()])) {
    if (!ended.has(id)) yield `${id}: nobody asked for it`;
  }
}
