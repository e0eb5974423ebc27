import { createHash } from 'node:crypto';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { deliver } from './deliver.ts';
import type { Exchange } from './exchange.ts';
import type { ServiceFault } from './fault.ts';
import {
  authenticationFailed,
  invalidRequest,
  payloadTooLarge,
  rateLimitExceeded,
  routeNotFound,
  tooManyFailures,
  unknownField,
  wrongContentType,
} from './refusals.ts';
import { isObject } from './reply.ts';
import type { JsonObject, Reply } from './reply.ts';
import { findRoute, queryOf } from './routes.ts';
import type { Route } from './routes.ts';

const MOST_JSON_BYTES = 64 * 1024 * 1024;

/** Normal service, of which `fault` says what goes wrong. */
export async function serve(x: Exchange, fault: ServiceFault): Promise<void> {
  const { settings } = x.house;
  const route = findRoute(x.record.method, x.record.url, settings.basePath);
  const arrived = await arrival(x, route?.readsJson ?? false, fault);
  if (arrived === undefined) return;
  const reply = route === undefined ? routeNotFound() : replyFor(x, route, arrived);
  const latencyMs = fault.latencyMs ?? (reply.status < 400 ? settings.latencyMs : 0);
  for (const status of fault.informational ?? []) {
    // oxlint-disable-next-line no-await-in-loop -- one goes out after another
    await x.writeRaw(`HTTP/1.1 ${status} Interim\r\n\r\n`);
  }
  if (await x.pause(latencyMs)) await deliver(x, reply, fault);
}

interface Arrived {
  /** The body's bytes; `undefined` when they were not held, or were too many. */
  held: Buffer | undefined;
  sha256: string;
}

async function arrival(x: Exchange, hold: boolean, fault: ServiceFault) {
  const restMs = fault.kind === 'slow-upload' ? fault.delayMs : 0;
  const hash = createHash('sha256');
  let pieces: Buffer[] = [];
  const whole = await x.read((piece) => {
    if (!hold) hash.update(piece);
    else if (x.record.bodyBytes <= MOST_JSON_BYTES) pieces.push(piece);
    else pieces = [];
    if (restMs > 0) void rest(x, restMs);
  });
  if (!whole) return undefined;
  const held = hold && x.record.bodyBytes <= MOST_JSON_BYTES ? Buffer.concat(pieces) : undefined;
  return { held, sha256: hold ? '' : hash.digest('hex') };
}

async function rest(x: Exchange, ms: number): Promise<void> {
  x.request.pause();
  if (await x.pause(ms)) x.request.resume();
}

function replyFor(x: Exchange, route: Route, arrived: Arrived): Reply {
  const { house, key, record } = x;
  if (route.access === 'open') return answer(x, route, {}, arrived);
  if (key === undefined) return authenticationFailed();
  const { body = {}, refusal } = route.readsJson ? parse(x, arrived.held) : {};
  if (route.access === 'key') return answer(x, route, body, arrived);

  const model = typeof body.model === 'string' ? body.model : '';
  const limited = (reply: Reply): Reply => {
    if (!house.settings.headers) return reply;
    return { ...reply, headers: { ...reply.headers, ...house.limits.headers(key, model) } };
  };
  const { abuse } = house.settings;
  if (abuse !== false && house.limits.blocked(key)) {
    record.refusedBy = 'abuse';
    return limited(tooManyFailures(abuse.failures, 'failures'));
  }
  record.refusedBy = house.limits.take(key, model);
  if (record.refusedBy !== undefined) return limited(rateLimitExceeded());
  const reply = refusal ?? answer(x, route, body, arrived);
  house.limits.spend(key, model, reply.tokens);
  return limited(reply);
}

function answer(x: Exchange, route: Route, body: JsonObject, { sha256 }: Arrived): Reply {
  const { settings, jobs } = x.house;
  for (const [field, shape] of Object.entries(settings.refuseFields)) {
    if (Object.hasOwn(body, field)) return unknownField(field, shape);
  }
  const query = queryOf(x.record.url);
  return route.answer({ call: x.record, query, body, sha256, settings, jobs });
}

function parse(x: Exchange, held: Buffer | undefined): { body?: JsonObject; refusal?: Reply } {
  if (held === undefined) return { refusal: payloadTooLarge() };
  const { 'content-type': type = 'application/json', 'content-encoding': coding } =
    x.record.headers;
  if (!/\bjson\b/i.test(type)) return { refusal: wrongContentType() };
  try {
    const body: unknown = JSON.parse(decode(held, coding).toString());
    return isObject(body) ? { body } : { refusal: invalidRequest('Expected object') };
  } catch {
    return { refusal: invalidRequest('Invalid JSON') };
  }
}

function decode(bytes: Buffer, coding: string | undefined): Buffer {
  const options = { maxOutputLength: MOST_JSON_BYTES };
  switch (coding?.trim().toLowerCase()) {
    case 'gzip':
      return gunzipSync(bytes, options);
    case 'deflate':
      return inflateSync(bytes, options);
    case 'br':
      return brotliDecompressSync(bytes, options);
    default:
      return bytes;
  }
}
