// The upstream of the benchmark, in a process of its own: answers at once, as Venice would.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { becomePart } from './part.ts';
import {
  CROWD_ANSWER,
  EVENT_EVERY_MS,
  LAST_EVENTS,
  SLOW_EVENT_EVERY_MS,
  STAMP,
  STREAM_EVENTS,
  WORD_EVENT,
  clockUs,
  createWork,
} from './work.ts';
import type { Manner } from './work.ts';

/** What the upstream can be asked. */
export interface UpstreamCalls {
  /** Resolves with the port that it listens on. */
  listen(): Promise<number>;
  /** The bodies of the next requests are kept, to be looked at. */
  keepBodies(isOn: boolean): void;
  /** The last body that came whole. */
  lastBody(): Buffer;
  /** Milliseconds between two events of a stream. */
  setPace(ms: number): void;
  /** For so long, counted from its first request, a key of the crowd has nothing left. */
  setWindow(ms: number): void;
}

const CHAT_PATH = '/chat/completions';
const answers = new Map(createWork().map((work) => [work.path, work.answer]));
// Of streams, too, there is work under this path.
answers.set(CHAT_PATH, CROWD_ANSWER);

let keepsBodies = false;
let lastBody = Buffer.alloc(0);
let windowMs = 0;
/** When the window of each key of the crowd resets, in milliseconds since 1970. */
const resets = new Map<string, number>();

/** The headers that Venice sends, and Cloudflare with it. */
function commonHeaders(): Record<string, string> {
  return {
    'CF-RAY': '8f1c2d3e4b5a6978-FRA',
    Server: 'cloudflare',
    'X-Content-Type-Options': 'nosniff',
    'x-ratelimit-type': 'user',
    'x-venice-model-id': 'llama-3.3-70b',
    'x-venice-balance-usd': '12.5',
  };
}

const LIMIT = 1_000_000_000;

function limitHeaders(remaining: number, resetAtMs: number): Record<string, string> {
  return {
    'x-ratelimit-limit-requests': String(LIMIT),
    'x-ratelimit-remaining-requests': String(remaining),
    'x-ratelimit-reset-requests': String(Math.ceil(resetAtMs / 1_000)),
    'x-ratelimit-limit-tokens': String(LIMIT),
    'x-ratelimit-remaining-tokens': String(LIMIT - 1),
    'x-ratelimit-reset-tokens': '60',
  };
}

const MINUTE = 60_000;

function ordinaryLimits(): Record<string, string> {
  return limitHeaders(LIMIT - 1, Math.ceil((Date.now() + 1) / MINUTE) * MINUTE);
}

/** One of the crowd: the first of a key uses up its window, whoever comes later finds it new. */
function crowdLimits(key: string): Record<string, string> {
  const known = resets.get(key);
  // A whole second, as the header tells it.
  const resetAt = known ?? Math.ceil((Date.now() + windowMs) / 1_000) * 1_000;
  resets.set(key, resetAt);
  if (Date.now() < resetAt) return limitHeaders(0, resetAt);
  return limitHeaders(LIMIT - 1, resetAt + 60 * MINUTE);
}

/** Writes one event to each of its streams at every tick; only the first tick may be early. */
class Pacer {
  readonly #streams = new Map<ServerResponse, number>();
  readonly #isEndless: boolean;
  #timer: NodeJS.Timeout | undefined;

  constructor(everyMs: number, isEndless: boolean) {
    this.#isEndless = isEndless;
    this.setPace(everyMs);
  }

  setPace(ms: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tick(), ms);
  }

  add(res: ServerResponse): void {
    this.#streams.set(res, 0);
    res.once('close', () => this.#streams.delete(res));
  }

  #tick(): void {
    for (const [res, sent] of this.#streams) {
      const next = sent + 1;
      this.#streams.set(res, next);
      const isLast = !this.#isEndless && next === STREAM_EVENTS;
      if (isLast) {
        this.#streams.delete(res);
        res.end(stamped(LAST_EVENTS));
      } else res.write(stamped(WORD_EVENT));
    }
  }
}

function stamped(event: string): string {
  return event.replace(STAMP, `"at":"${String(clockUs()).padStart(16, '0')}"`);
}

const streams = new Pacer(EVENT_EVERY_MS, false);
const slowStreams = new Pacer(SLOW_EVENT_EVERY_MS, true);

function answerRequest(req: IncomingMessage, res: ServerResponse, manner: Manner): void {
  if (manner === 'stream' || manner === 'slow') {
    res.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache',
      ...commonHeaders(),
      ...ordinaryLimits(),
    });
    res.flushHeaders();
    (manner === 'slow' ? slowStreams : streams).add(res);
    return;
  }
  const answer = answers.get((req.url ?? '').slice('/api/v1'.length)) ?? CROWD_ANSWER;
  res.writeHead(200, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': answer.length,
    ...commonHeaders(),
    ...(manner === 'crowd' ? crowdLimits(req.headers.authorization ?? '') : ordinaryLimits()),
  });
  res.end(answer);
}

/** Bodies name their model at their very beginning. */
const MODEL = /"model":"bench-([a-z]+)"/;

const server = createServer({ keepAliveTimeout: 600_000 }, (req, res) => {
  let manner: Manner | undefined;
  const kept: Buffer[] = [];
  req.on('data', (chunk: Buffer) => {
    manner ??= (MODEL.exec(chunk.toString('latin1', 0, 200))?.[1] ?? 'json') as Manner;
    if (keepsBodies) kept.push(chunk);
  });
  req.on('end', () => {
    if (keepsBodies) lastBody = Buffer.concat(kept);
    answerRequest(req, res, manner ?? 'json');
  });
});

becomePart<UpstreamCalls>({
  listen: () =>
    new Promise((resolve) => {
      server.listen(0, '127.0.0.1', 4_096, () => resolve((server.address() as AddressInfo).port));
    }),
  keepBodies: (isOn) => {
    keepsBodies = isOn;
    lastBody = Buffer.alloc(0);
  },
  lastBody: () => lastBody,
  setPace: (ms) => streams.setPace(ms),
  setWindow: (ms) => {
    windowMs = ms;
  },
});
