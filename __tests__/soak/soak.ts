import http from 'node:http';
import { createStandInVenice } from '../../examples/stand-in-venice.ts';
import { seeded } from '../helpers/seeded.ts';
import { play } from './client.ts';
import type { Ending, Request } from './client.ts';
import { Account, KINDS, TROUBLES } from './requests.ts';
import type { Trouble } from './requests.ts';
import type { Result, Sample } from './report.ts';
import { Subject } from './subject.ts';
import type { Holdings } from './subject.ts';

const CLIENTS = 60;
const KEYS = 25;
const MODELS = ['llama-3.3-70b', 'qwen3-235b', 'venice-uncensored', 'mistral-31-24b'];
/** Of the whole run. */
const WARM_UP = 0.3;
const SAMPLE_EVERY_MS = 1_000;
const SAMPLES_OF_LOAD = 30;

const SERVER = {
  TIMEOUT: '1.5',
  BASE_RETRY_DELAY: '0.05',
  RATE_LIMIT_WAIT: '2',
  MAX_WAIT: '10',
  HEARTBEAT: '0.2',
  LOG_FORMAT: 'json',
} as const;

/** Mixed load with faults for so long, and what came of it. */
export async function soak(minutes: number, seed: number): Promise<Result> {
  const account = new Account();
  const venice = createStandInVenice({
    onCall: account.onCall,
    keptCalls: 200,
    // Small enough for windows to be used up by what comes of 40 clients.
    requests: { limit: 8, windowMs: 2_000 },
    tokens: false,
    abuse: { failures: 50, windowMs: 2_000 },
    tokenDelayMs: 2,
    latencyMs: 3,
  });
  const target = await venice.listen();
  const port = await freePort();
  const subject = await Subject.start(port, { ...SERVER, OPENAI_BASE_URL: target });
  const run = new Run(`http://127.0.0.1:${port}/api/v1`, seeded(seed));
  const samples: Sample[] = [];
  const begunAt = performance.now();
  const sample = async (): Promise<Holdings> => {
    const holdings = await subject.holdings();
    const seconds = (performance.now() - begunAt) / 1_000;
    samples.push({ seconds, requests: run.requests, ...holdings });
    return holdings;
  };
  /** Nobody asks for anything: what is held now, but for kept connections, is held for nothing. */
  const atRest = async (): Promise<Holdings> => {
    // How much of its memory a process gives back, and when, is chance: under load it is steadier.
    const residentBytes = median(samples.slice(-SAMPLES_OF_LOAD).map((each) => each.residentBytes));
    run.closeConnections();
    let held = await sample();
    for (let look = 0; look < 40; look += 1) {
      if (held.sockets <= venice.openSockets && held.timers === 0) break;
      // oxlint-disable-next-line no-await-in-loop -- one look after the other
      await pause(250);
      // oxlint-disable-next-line no-await-in-loop
      held = await sample();
    }
    return { ...held, residentBytes, sockets: Math.max(0, held.sockets - venice.openSockets) };
  };
  try {
    const sampling = setInterval(() => void sample(), SAMPLE_EVERY_MS);
    await run.load(minutes * 60_000 * WARM_UP);
    const warm = await atRest();
    await run.load(minutes * 60_000 * (1 - WARM_UP));
    clearInterval(sampling);
    const after = await atRest();
    const faults = [...run.faults(account, subject), ...unproven(run, account, subject)];
    if ((await subject.stop()) !== 0) faults.push('the server did not stop in order');
    const upstreamCalls = [...account.seen.values()].reduce((sum, { calls }) => sum + calls, 0);
    const { requests, endings, troubles } = run;
    const counted = { requests, endings: Object.fromEntries(endings) };
    const met = { troubles: Object.fromEntries(troubles), upstreamCalls };
    return { minutes, ...counted, ...met, warm, after, samples, faults };
  } finally {
    if (subject.complaints.length === 0) await subject.stop().catch(() => null);
    await venice.close();
  }
}

/** What has not happened, and so is not proved, and what goes on although nobody waits for it. */
function* unproven(run: Run, account: Account, subject: Subject): Generator<string> {
  for (const { name } of KINDS) {
    if (!run.answered.has(name)) yield `no ${name} was ever answered`;
  }
  // A short run may be over before it comes to that.
  if (run.requests > 10_000 && subject.held === 0) yield 'no window was ever used up';
  if (run.requests > 10_000 && account.cutUploads === 0)
    yield 'no client ever left in the middle of its upload';
  // Their sockets look like kept ones, as they are open at both ends.
  if (account.open > 0) yield `${account.open} upstream calls have not ended`;
}

/** The clients of a run, and what they have seen. */
class Run {
  requests = 0;
  readonly endings = new Map<Ending, number>();
  readonly troubles = new Map<string, number>();
  /** How many were answered, by what they asked for. */
  readonly answered = new Map<string, number>();
  readonly #baseUrl: string;
  readonly #random: () => number;
  #agent = new http.Agent({ keepAlive: true });
  readonly #ended = new Map<string, { readonly request: Request; readonly ending: Ending }>();

  constructor(baseUrl: string, random: () => number) {
    this.#baseUrl = baseUrl;
    this.#random = random;
  }

  /** As many requests at once as there are clients, for so long; until each has ended. */
  async load(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    const client = async (): Promise<void> => {
      while (performance.now() < until) {
        const request = this.#next();
        // oxlint-disable-next-line no-await-in-loop -- a client asks for one thing after the other
        const ending = await play(this.#baseUrl, this.#agent, request);
        count(this.endings, ending);
        if (ending === 'answered') count(this.answered, request.kind.name);
        this.#ended.set(request.id, { request, ending });
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  }

  closeConnections(): void {
    this.#agent.destroy();
    this.#agent = new http.Agent({ keepAlive: true });
  }

  /** What contradicts what the proxy promises. */
  *faults(account: Account, { outcomes, complaints }: Subject): Generator<string> {
    yield* complaints;
    for (const { request, ending } of this.#ended.values()) {
      const { id, kind, trouble } = request;
      const what = `${kind.name} ${id} (${trouble?.name ?? 'no trouble'})`;
      if (ending === 'lost' || ending === "somebody else's") yield `${what}: ${ending}`;
      const { calls = 0, perhapsDone = 0 } = account.seen.get(id) ?? {};
      if (ending === 'answered' && calls === 0) yield `${what}: answered by nobody`;
      if (kind.isBilled === true && perhapsDone > 1) yield `${what}: done ${perhapsDone} times`;
    }
    for (const id of account.seen.keys()) {
      if (!this.#ended.has(id)) yield `${id}: a call that nobody asked for`;
    }
    const logged = [...outcomes.values()].reduce((sum, each) => sum + each, 0);
    // Who left before its head had come was never a request.
    const left = this.endings.get('left') ?? 0;
    if (logged > this.requests || logged < this.requests - left) {
      yield `${this.requests} requests, ${logged} in the log`;
    }
  }

  #next(): Request {
    this.requests += 1;
    const kind = pick(KINDS, this.#random());
    const trouble = this.#trouble();
    if (trouble !== undefined) count(this.troubles, trouble.name);
    return {
      id: this.requests.toString(36),
      key: `soak-key-${Math.floor(this.#random() * KEYS)}`,
      model: pick(MODELS, this.#random()),
      kind,
      trouble,
    };
  }

  #trouble(): Trouble | undefined {
    let rest = this.#random() * 100;
    for (const trouble of TROUBLES) {
      rest -= trouble.percent;
      if (rest < 0) return trouble;
    }
    return undefined;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function pick<T>(list: readonly T[], random: number): T {
  const picked = list[Math.floor(random * list.length)];
  if (picked === undefined) throw new RangeError('nothing to pick from');
  return picked;
}

function count<K>(counts: Map<K, number>, what: K): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

async function freePort(): Promise<number> {
  const server = http.createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
