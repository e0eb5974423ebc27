import { dataEvent } from './chat.ts';
import { deliver } from './deliver.ts';
import type { Exchange } from './exchange.ts';
import type { Fault } from './fault.ts';
import {
  nullField,
  OVERLOADED,
  overloaded,
  rateLimitExceeded,
  tooManyFailures,
  unknownField,
} from './refusals.ts';
import type { Reply } from './reply.ts';
import { serve } from './serve.ts';

type Of<Kind extends Fault['kind']> = Extract<Fault, { kind: Kind }>;

/** Lets a call meet its fault; `ok` is one, too. */
export async function playFault(x: Exchange, fault: Fault): Promise<void> {
  switch (fault.kind) {
    case 'answer':
      return giveAnswer(x, fault);
    case 'rate-limited':
      return refuseByWindow(x, fault);
    case 'overloaded':
      return refuse(x, overloaded(), (model) =>
        (fault.headers ?? x.house.settings.headers) ? headersWithRoom(x, model) : {},
      );
    case 'abuse-block':
      return refuse(x, tooManyFailures(budgetOf(x, fault), 'failures', fault.shape));
    case 'feature-block':
      return refuse(x, tooManyFailures(fault.failures ?? 200, 'features', fault.shape));
    case 'unknown-field':
      return refuse(x, unknownField(fault.field, fault.shape));
    case 'null-field':
      return refuse(x, nullField(fault.field));
    case 'reset':
      if (fault.after === 'head' || (await x.read())) await x.hangUp('reset');
      return;
    case 'reset-upload':
      if (await readSome(x, fault.afterBytes)) await x.hangUp('reset');
      return;
    case 'stall-upload':
      await readSome(x, fault.afterBytes);
      return;
    case 'silent':
      await x.read();
      return;
    case 'head-then-silent':
      return serve(x, { kind: 'stall-stream', afterEvents: 0 });
    case 'reset-after-head':
      return serve(x, { kind: 'cut-stream', afterEvents: 0, ending: 'reset' });
    case 'raw':
      return giveRaw(x, fault);
    case 'bodiless':
      return giveRaw(x, { kind: 'raw', bytes: bodilessAnswer(fault), close: false });
    case 'raw-stream':
      return giveRawStream(x, fault);
    case 'early-answer':
      return answerEarly(x, fault);
    case 'sse-error-first': {
      const error = { message: OVERLOADED, type: 'server_error', code: 'MODEL_OVERLOADED' };
      return giveRawStream(x, {
        kind: 'raw-stream',
        chunks: [dataEvent({ error: fault.error ?? error })],
      });
    }
    case 'stop-accepting':
      x.house.stopAccepting(fault.forMs);
      return;
    default:
      return serve(x, fault);
  }
}

async function giveAnswer(x: Exchange, fault: Of<'answer'>): Promise<void> {
  if (!(await x.read()) || !(await x.pause(fault.delayMs ?? 0))) return;
  const { type, bytes } = written(fault.body);
  const mayHaveLength = fault.status !== 204 && fault.status !== 304;
  const length = mayHaveLength ? Buffer.byteLength(bytes ?? '') : undefined;
  const headers = { 'Content-Type': type, 'Content-Length': length, ...fault.headers };
  x.head(fault.status, headers, fault.reason);
  if (bytes === undefined || (await x.write(bytes))) await x.end();
}

async function answerEarly(x: Exchange, fault: Of<'early-answer'>): Promise<void> {
  const { type, bytes = '' } = written(fault.body);
  const length = Buffer.byteLength(bytes);
  x.head(fault.status, { 'Content-Type': type, 'Content-Length': length, ...fault.headers });
  if ((fault.upload ?? 'drain') === 'drain') {
    void x.read();
    x.response.end(bytes);
    return;
  }
  // Not ended: Node would then read what is left of the request by itself.
  await x.write(bytes);
  if (fault.upload === 'reset') await x.hangUp('reset');
}

function written(body: string | Uint8Array | object | undefined) {
  if (body === undefined) return { type: undefined, bytes: undefined };
  if (typeof body === 'string') return { type: 'text/plain; charset=utf-8', bytes: body };
  if (body instanceof Uint8Array) return { type: 'application/octet-stream', bytes: body };
  return { type: 'application/json; charset=utf-8', bytes: JSON.stringify(body) };
}

async function refuse(
  x: Exchange,
  reply: Reply,
  headersFor = (model: string): Record<string, string> =>
    x.house.settings.headers ? x.house.limits.headers(x.key ?? '', model) : {},
): Promise<void> {
  if (!(await x.read())) return;
  const headers = { ...reply.headers, ...headersFor(modelIn(x.record.body.toString())) };
  await deliver(x, { ...reply, headers }, { kind: 'ok' });
}

async function refuseByWindow(x: Exchange, fault: Of<'rate-limited'>): Promise<void> {
  const { limits, settings } = x.house;
  await refuse(x, rateLimitExceeded(), (model) => {
    const spent = { remaining: 0, resetsAt: Date.now() + fault.resetMs };
    const window = fault.window ?? 'requests';
    const shown = fault.headers ?? settings.headers;
    const headers = shown ? limits.headers(x.key ?? '', model, { [window]: spent }) : {};
    if (fault.retryAfter !== undefined) headers['Retry-After'] = String(fault.retryAfter);
    return headers;
  });
}

function headersWithRoom(x: Exchange, model: string): Record<string, string> {
  const { limits, settings } = x.house;
  const headers = limits.headers(x.key ?? '', model);
  const none = headers['x-ratelimit-remaining-requests'] === '0';
  const requests = { remaining: Math.max(1, Math.floor(settings.requests.limit / 2)) };
  return none ? limits.headers(x.key ?? '', model, { requests }) : headers;
}

// A refusal needs the name and nothing else, also of a body that is not JSON at all.
function modelIn(body: string): string {
  return /"model"\s*:\s*"([^"\\]*)"/.exec(body)?.[1] ?? '';
}

function budgetOf(x: Exchange, fault: Of<'abuse-block'>): number {
  const { abuse } = x.house.settings;
  return fault.failures ?? (abuse === false ? 50 : abuse.failures);
}

/** Reads that much of the body, or all of a shorter one; false: the client left before. */
function readSome(x: Exchange, bytes: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const enough = (): void => {
      if (x.record.bodyBytes < bytes) return;
      x.request.pause();
      resolve(true);
    };
    x.read(enough).then(resolve, reject);
  });
}

async function giveRaw(x: Exchange, fault: Of<'raw'>): Promise<void> {
  if (fault.after !== 'head' && !(await x.read())) return;
  if (!(await x.writeRaw(fault.bytes))) return;
  x.record.finished = true;
  if (fault.close ?? true) await x.hangUp('close');
}

function bodilessAnswer({ status, body = '{"error":"a body where none may be"}' }: Of<'bodiless'>) {
  const head = `HTTP/1.1 ${status} Bodiless\r\nContent-Type: application/json\r\n`;
  return `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

async function giveRawStream(x: Exchange, fault: Of<'raw-stream'>): Promise<void> {
  if (!(await x.read())) return;
  x.head(200, { 'Content-Type': fault.contentType ?? 'text/event-stream' });
  x.response.flushHeaders();
  for (const [place, chunk] of fault.chunks.entries()) {
    // oxlint-disable-next-line no-await-in-loop -- each waits for the one before
    if (place > 0 && !(await x.pause(fault.delayMs ?? 0))) return;
    // oxlint-disable-next-line no-await-in-loop
    if (!(await x.write(chunk))) return;
  }
  const ending = fault.ending ?? 'end';
  if (ending === 'end') await x.end();
  else if (ending !== 'silence') await x.hangUp(ending);
}
