import type { OutgoingHttpHeaders } from 'node:http';
import { constants, createBrotliCompress, createDeflate, createGzip } from 'node:zlib';
import type { Exchange } from './exchange.ts';
import type { ServiceFault } from './fault.ts';
import type { Reply } from './reply.ts';
import type { Coding } from './types.ts';

type Ending = 'end' | 'close' | 'reset' | 'silence';

interface Plan {
  pieces: Iterable<Buffer>;
  length: number | undefined;
  delayMs: number;
  ending: Ending;
}

/** Sends a reply, with what the fault makes of it. */
export async function deliver(x: Exchange, reply: Reply, fault: ServiceFault): Promise<void> {
  const { settings } = x.house;
  const isJson = reply.headers['Content-Type']?.startsWith('application/json') ?? false;
  const coding = fault.compress ?? (isJson ? settings.compress : false);
  let plan: Plan = {
    pieces: x.record.method === 'HEAD' ? [] : reply.pieces,
    length: reply.length,
    delayMs: reply.paced ? (fault.tokenDelayMs ?? settings.tokenDelayMs) : 0,
    ending: 'end',
  };
  plan = cutEvents(plan, fault);
  if (coding !== false) plan = await code(plan, coding);
  plan = cutBytes(plan, fault);

  const headers: OutgoingHttpHeaders = { ...reply.headers };
  if (coding !== false) headers['Content-Encoding'] = coding;
  if (fault.framing === undefined) headers['Content-Length'] = plan.length;
  if (fault.framing === 'close') {
    x.response.shouldKeepAlive = false;
    x.response.useChunkedEncodingByDefault = false;
  }
  x.head(reply.status, { ...headers, ...fault.headers });
  await send(x, plan, fault.afterwards);
}

async function send(x: Exchange, plan: Plan, afterwards: 'close' | 'reset' | undefined) {
  if (plan.ending !== 'end') x.response.flushHeaders();
  let first = true;
  for (const piece of plan.pieces) {
    // One after another, as each waits for its time and for the client to have read the last.
    // oxlint-disable-next-line no-await-in-loop
    if (!first && !(await x.pause(plan.delayMs))) return;
    first = false;
    // oxlint-disable-next-line no-await-in-loop
    if (!(await x.write(piece))) return;
  }
  if (plan.ending === 'silence') return;
  if (plan.ending !== 'end') return x.hangUp(plan.ending);
  await x.end();
  if (afterwards !== undefined) await x.hangUp(afterwards);
}

function cutEvents(plan: Plan, fault: ServiceFault): Plan {
  if (!('afterEvents' in fault)) return plan;
  const pieces = [...firstEvents(plan.pieces, fault.afterEvents, fault.midEvent ?? false)];
  if (fault.kind === 'cut-stream') return { ...plan, pieces, ending: fault.ending ?? 'close' };
  if (fault.kind === 'stall-stream') return { ...plan, pieces, ending: 'silence' };
  return { ...plan, pieces, length: undefined };
}

function cutBytes(plan: Plan, fault: ServiceFault): Plan {
  switch (fault.kind) {
    case 'cut-body': {
      const ending = fault.ending ?? 'close';
      const length = ending === 'end' ? undefined : plan.length;
      return { ...plan, pieces: firstBytes(plan.pieces, fault.bytes), length, ending };
    }
    case 'slow-body': {
      const { chunkBytes, delayMs } = fault;
      return { ...plan, pieces: inChunksOf(plan.pieces, chunkBytes), delayMs };
    }
    case 'wrong-length': {
      const length = Math.max(0, (plan.length ?? byteCount(plan.pieces)) + fault.delta);
      return { ...plan, length, ending: fault.delta > 0 ? 'close' : 'end' };
    }
    default:
      return plan;
  }
}

function* firstEvents(pieces: Iterable<Buffer>, count: number, half: boolean): Generator<Buffer> {
  let left = count;
  for (const piece of pieces) {
    const isComment = piece.toString('latin1', 0, 1) === ':';
    if (!isComment && left === 0) {
      if (half) yield piece.subarray(0, Math.ceil(piece.length / 2));
      return;
    }
    if (!isComment) left -= 1;
    yield piece;
  }
}

function* firstBytes(pieces: Iterable<Buffer>, count: number): Generator<Buffer> {
  let left = count;
  for (const piece of pieces) {
    if (left <= 0) return;
    yield piece.subarray(0, left);
    left -= piece.length;
  }
}

function* inChunksOf(pieces: Iterable<Buffer>, size: number): Generator<Buffer> {
  let held = Buffer.alloc(0);
  for (const piece of pieces) {
    held = Buffer.concat([held, piece]);
    for (; held.length >= size; held = held.subarray(size)) yield held.subarray(0, size);
  }
  if (held.length > 0) yield held;
}

function byteCount(pieces: Iterable<Buffer>): number {
  let count = 0;
  for (const piece of pieces) count += piece.length;
  return count;
}

/** Codes each piece so that it can be decoded before the next one comes, as a stream needs. */
async function code(plan: Plan, coding: Coding): Promise<Plan> {
  const coder = coderOf(coding);
  const coded: Buffer[] = [];
  let fresh: Buffer[] = [];
  coder.on('data', (bytes: Buffer) => fresh.push(bytes));
  const flush = coding === 'br' ? constants.BROTLI_OPERATION_FLUSH : constants.Z_SYNC_FLUSH;
  for (const piece of plan.pieces) {
    coder.write(piece);
    // oxlint-disable-next-line no-await-in-loop -- one coder, one piece after another
    await new Promise<void>((resolve) => {
      coder.flush(flush, resolve);
    });
    coded.push(Buffer.concat(fresh));
    fresh = [];
  }
  // What breaks off in the middle breaks off in the coding, too: without its trailer.
  if (plan.ending === 'end') {
    await new Promise<void>((resolve) => {
      coder.on('end', resolve);
      coder.end();
    });
    const last = coded.pop() ?? Buffer.alloc(0);
    coded.push(Buffer.concat([last, ...fresh]));
  }
  coder.destroy();
  const length = plan.length === undefined ? undefined : byteCount(coded);
  return { ...plan, pieces: coded, length };
}

function coderOf(coding: Coding) {
  if (coding === 'br') return createBrotliCompress();
  return coding === 'gzip' ? createGzip() : createDeflate();
}
