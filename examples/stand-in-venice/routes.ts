import { chatCompletion } from './chat.ts';
import { createEmbeddings } from './embeddings.ts';
import {
  generateImage,
  imageFile,
  openAiImages,
  queueJob,
  quote,
  retrieveJob,
  speech,
  transcription,
} from './media.ts';
import { listModels, rateLimitsOf } from './models.ts';
import { invalidRequest } from './refusals.ts';
import { json } from './reply.ts';
import type { JsonObject, Reply } from './reply.ts';
import { createResponse } from './responses.ts';
import type { Settings } from './settings.ts';
import type { RateLimit, RecordedCall } from './types.ts';

/** A call whose request has arrived whole. */
interface Ask {
  call: RecordedCall;
  query: URLSearchParams;
  /** The parsed body; empty on routes that do not read it. */
  body: JsonObject;
  /** Hex digest of the body; empty on routes that read it. */
  sha256: string;
  settings: Settings;
  jobs: Map<string, number>;
}

export interface Route {
  /** Whether the body is read as a JSON object; if not, it is counted and hashed, not held. */
  readsJson: boolean;
  /** What it asks of the caller: a key and a place in its windows, a key, or nothing. */
  access: 'limited' | 'key' | 'open';
  answer: (ask: Ask) => Reply;
}

const inference = (answer: (ask: Ask) => Reply): Route => ({
  readsJson: true,
  access: 'limited',
  answer,
});

const upload = (answer: (ask: Ask) => Reply): Route => ({
  readsJson: false,
  access: 'limited',
  answer,
});

const account = (answer: (ask: Ask) => Reply): Route => ({
  readsJson: false,
  access: 'key',
  answer,
});

const open = (answer: (ask: Ask) => Reply): Route => ({ readsJson: false, access: 'open', answer });

const transcribe = upload(({ call }) =>
  transcription(call.headers['content-type'] ?? '', call.bodyBytes),
);

/** For routes of which nobody needs more than that they were reached. */
const done = (): Reply => json({ success: true });

const ROUTES: Readonly<Record<string, Route>> = {
  'POST /chat/completions': inference(({ body }) => chatCompletion(body)),
  'POST /responses': inference(({ body }) => createResponse(body)),
  'POST /embeddings': inference(({ body }) => createEmbeddings(body)),
  'GET /models': open(({ query }) => listModels(query)),
  'POST /images/generations': inference(openAiImages),
  'POST /image/generate': inference(({ body }) => generateImage(body)),
  'POST /image/edit': upload(imageFile),
  'POST /image/multi-edit': upload(imageFile),
  'POST /image/upscale': upload(imageFile),
  'POST /image/background-remove': upload(imageFile),
  'POST /audio/speech': inference(speech),
  'POST /audio/transcriptions': transcribe,
  'POST /audio/voices': upload(done),
  'POST /video/transcriptions': inference(done),
  'POST /video/queue': inference(({ body, jobs }) => queueJob(body, jobs)),
  'POST /audio/queue': inference(({ body, jobs }) => queueJob(body, jobs)),
  'POST /video/retrieve': inference(({ body, jobs }) => retrieveJob(body, jobs, 'video/mp4')),
  'POST /audio/retrieve': inference(({ body, jobs }) => retrieveJob(body, jobs, 'audio/mpeg')),
  'POST /video/quote': inference(quote),
  'POST /audio/quote': inference(quote),
  'POST /augment/search': inference(done),
  'POST /augment/scrape': inference(done),
  'POST /augment/text-parser': upload(done),
  'POST /x402/top-up': account(done),
  'GET /api_keys': account(() => json({ object: 'list', data: [] })),
  'POST /api_keys': account(done),
  'PATCH /api_keys': account(done),
  'DELETE /api_keys': account(done),
  'GET /api_keys/rate_limits': account(({ settings }) => rateLimitsOf(perMinute(settings))),
  'GET /stand-in/bytes': open(({ query }) => download(Number(query.get('n') ?? 1_000_000))),
};

/** Takes every method, and every path that begins so. */
const ECHO = '/stand-in/echo';
const echo = open(({ call, sha256 }) => {
  const { method, url, headers, rawHeaders, bodyBytes } = call;
  return json({ method, url, headers, rawHeaders, sha256, length: bodyBytes });
});

const RPC = '/crypto/rpc/';
const rpc = inference(({ body }) => json({ jsonrpc: '2.0', id: body.id ?? null, result: '0x1' }));

// The target is never parsed as a URL: what a hostile one would be resolved to is not what came.
export function findRoute(method: string, target: string, basePath: string): Route | undefined {
  const [path = ''] = target.split('?', 1);
  if (!path.startsWith(`${basePath}/`)) return undefined;
  const inner = path.slice(basePath.length);
  if (inner === ECHO || inner.startsWith(`${ECHO}/`)) return echo;
  if (method === 'POST' && inner.startsWith(RPC)) return rpc;
  const name = `${method === 'HEAD' ? 'GET' : method} ${inner}`;
  return Object.hasOwn(ROUTES, name) ? ROUTES[name] : undefined;
}

export function queryOf(target: string): URLSearchParams {
  const start = target.indexOf('?');
  return new URLSearchParams(start < 0 ? '' : target.slice(start));
}

function perMinute({ requests, tokens }: Settings): { amount: number; type: string }[] {
  const limits = [{ amount: aMinute(requests), type: 'RPM' }];
  if (tokens !== false) limits.push({ amount: aMinute(tokens), type: 'TPM' });
  return limits;
}

function aMinute({ limit, windowMs }: RateLimit): number {
  return Math.round((limit * 60_000) / windowMs);
}

const PIECE = Buffer.from(Array.from({ length: 65_536 }, (_, place) => place % 251));

function download(length: number): Reply {
  if (!Number.isSafeInteger(length) || length < 0) {
    return invalidRequest('Expected a number of bytes', 'n');
  }
  const headers = { 'Content-Type': 'application/octet-stream' };
  const reply = { status: 200, headers, length, paced: false, tokens: 0 };
  return { ...reply, pieces: { [Symbol.iterator]: () => bytes(length) } };
}

function* bytes(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left);
}
