import { describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Response } from 'express';
import type { Fault } from '../examples/stand-in-venice.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import type { Reply } from './helpers/serve.ts';
import {
  DONE,
  EVENTS,
  LAST_CHUNK,
  chunk,
  chunkedHead,
  head,
  meet,
  parseAnswer,
  standsStill,
} from './helpers/wire.ts';

const BEAT_MS = 20;
const BEAT = ': venice-proxy is waiting for the upstream\n\n';
/** An answer that comes so late finds the client with its head. */
const LATE_MS = 150;
const TOLD = ': x-venice-proxy-attempts=1 x-venice-proxy-wait=0\n\n';

function startLate(options: Parameters<typeof startScene>[0] = {}): Promise<Scene> {
  return startScene({ heartbeat: BEAT_MS, ...options });
}

/** What stands behind the head that the client has got early: beats, the notes, this. */
function behindNotes({ status, headers, text }: Reply): string {
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('text/event-stream; charset=utf-8');
  expect(text.startsWith(BEAT)).toBe(true);
  const rest = text.replaceAll(BEAT, '');
  expect(rest).toMatch(
    /^: x-venice-proxy-attempts=\d+ x-venice-proxy-wait=\d+( x-venice-proxy-hint=.+)?\n\n/,
  );
  return rest.slice(rest.indexOf('\n\n') + 2);
}

/** The one event that tells an error. */
function errorIn(text: string): unknown {
  const [, json = ''] = /^data: (\{"error":\{.*\}\})\n\n$/.exec(text) ?? [];
  return JSON.parse(json);
}

describe('an error of the upstream, behind an early head', () => {
  const issues = [{ code: 'unrecognized_keys', keys: ['thinking'], path: [] }];
  const details = { _errors: ["Unrecognized key(s) in object: 'thinking'"] };
  const openAi = { message: 'Too long.', type: 'odd_error', param: 'messages', code: 'too_long' };

  test.each<[string, Partial<Extract<Fault, { kind: 'answer' }>>, object]>([
    [
      'a text in JSON',
      { status: 400, body: { error: 'It is wrong.' } },
      { message: 'It is wrong.', type: 'invalid_request_error', param: null, code: null },
    ],
    [
      'details and issues',
      { status: 400, body: { error: 'Invalid request', details, issues } },
      {
        message: expect.stringMatching(/^Invalid request/),
        type: 'invalid_request_error',
        param: 'thinking',
      },
    ],
    ["OpenAI's shape", { status: 400, body: { error: openAi } }, openAi],
    [
      'a code beside a text',
      { status: 404, body: { code: 'MODEL_NOT_FOUND', error: 'No such model.' } },
      { message: 'No such model.', code: 'MODEL_NOT_FOUND' },
    ],
    [
      'a request id beside a text',
      { status: 422, body: { error: 'Extra inputs are not permitted', request_id: 'r1' } },
      { message: 'Extra inputs are not permitted', code: null },
    ],
    [
      'plain text in two lines',
      { status: 400, body: 'It is\nwrong.', headers: { 'Content-Type': 'text/plain' } },
      { message: 'It is\nwrong.', code: null },
    ],
    [
      'a compressed body',
      {
        status: 400,
        body: gzipSync('{"error":"It is wrong."}'),
        headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
      },
      { message: 'It is wrong.' },
    ],
    [
      'no body at all',
      { status: 400 },
      { message: expect.stringMatching(/./), type: 'invalid_request_error', code: null },
    ],
    [
      'a body that is longer than what is read',
      { status: 400, body: `It is wrong. ${'x'.repeat(500_000)}` },
      { message: expect.stringMatching(/^It is wrong\. /) },
    ],
  ])('is one event: %s', async (_name, answer, error) => {
    const scene = await startLate({ retries: 0 });
    scene.venice.script({ kind: 'answer', status: 400, delayMs: LATE_MS, ...answer });
    const reply = await chat(scene, { stream: true });
    const { status } = answer;
    expect(errorIn(behindNotes(reply))).toEqual({
      error: expect.objectContaining({ ...error, status }),
    });
    expect(reply.text).not.toContain('retry_after');
    expect(reply.complete).toBe(true);
    expect(await scene.recorder.ended()).toMatchObject({
      status: 200,
      outcome: 'answered',
      code: `upstream_${status}`,
      attempts: 1,
    });
  });

  test('tells when to come back, as its window resets', async () => {
    const scene = await startLate({ rateLimit: false, maxWait: 1_000 });
    scene.venice.script(
      { kind: 'answer', status: 503, headers: { 'Retry-After': '0.15' } },
      { kind: 'rate-limited', resetMs: 20_000 },
    );
    const reply = await chat(scene, { stream: true });
    const event = behindNotes(reply);
    expect(errorIn(event)).toMatchObject({ error: { type: 'rate_limit_error', status: 429 } });
    expect(['19', '20', '21', '22']).toContain(/"retry_after":(\d+)\}/.exec(event)?.[1]);
    expect(reply.text).toContain('x-venice-proxy-attempts=2 ');
    expect(scene.venice.calls).toHaveLength(2);
    expect(await scene.recorder.ended()).toMatchObject({ code: 'upstream_429', attempts: 2 });
  });

  test.each([
    ['7', 7],
    ['6.2', 7],
    ['0.2', 1],
    ['0', undefined],
  ])('tells when to come back, as Retry-After says: %s', async (retryAfter, seconds) => {
    const scene = await startLate({ retries: 0 });
    const headers = { 'Retry-After': retryAfter };
    scene.venice.script({ kind: 'answer', status: 503, headers, delayMs: LATE_MS });
    const event = behindNotes(await chat(scene, { stream: true }));
    const told = seconds === undefined ? {} : { retry_after: seconds };
    expect(errorIn(event)).toEqual({
      error: {
        message: expect.any(String),
        type: 'server_error',
        param: null,
        code: null,
        status: 503,
        ...told,
      },
    });
  });
});

describe('an error of our own, behind an early head', () => {
  test.each<[string, Fault, number, string]>([
    ['silence', { kind: 'silent' }, 504, 'upstream_timeout'],
    ['silence behind a head', { kind: 'head-then-silent' }, 504, 'upstream_timeout'],
    [
      'a break before the first event',
      { kind: 'cut-stream', afterEvents: 0, latencyMs: LATE_MS },
      502,
      'upstream_disconnected',
    ],
    ['204', { kind: 'answer', status: 204, delayMs: LATE_MS }, 502, 'upstream_invalid'],
    [
      'a redirect',
      { kind: 'answer', status: 302, headers: { Location: '/' }, delayMs: LATE_MS },
      502,
      'upstream_invalid',
    ],
    [
      'bytes of another kind',
      {
        kind: 'answer',
        status: 200,
        headers: { 'Content-Type': 'audio/mpeg' },
        body: 'x',
        delayMs: LATE_MS,
      },
      502,
      'upstream_invalid',
    ],
    [
      'a coding that nobody knows',
      {
        kind: 'answer',
        status: 200,
        headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'odd' },
        body: 'x',
        delayMs: LATE_MS,
      },
      502,
      'upstream_invalid',
    ],
  ])('is one event, and a clean end: %s', async (_name, fault, status, code) => {
    const timeout = { firstByte: LATE_MS, idle: LATE_MS };
    const slow = { firstByte: 10 * LATE_MS, idle: 10 * LATE_MS };
    const scene = await startLate({ retries: 0, timeout: status === 504 ? timeout : slow });
    scene.venice.script(fault);
    const reply = await chat(scene, { stream: true });
    expect(errorIn(behindNotes(reply))).toEqual({
      error: {
        message: expect.stringMatching(/^The (upstream|connection) .*\.\)?$/),
        type: 'server_error',
        param: null,
        code,
        status,
      },
    });
    expect(reply.complete).toBe(true);
    expect(await scene.recorder.ended()).toMatchObject({ status: 200, outcome: 'refused', code });
    expect(scene.proxy.inFlight).toBe(0);
  });

  test('is told to streams that still wait when the server shuts down', async () => {
    const { client, front } = await meet({ heartbeat: BEAT_MS }, ask());
    await client.until(BEAT);
    await front.proxy.drain(0);
    await client.until(LAST_CHUNK);
    const { body, complete } = parseAnswer(client.received);
    const [, event = ''] = body.toString().split(TOLD);
    expect(errorIn(event)).toMatchObject({
      error: { code: 'draining', status: 503, retry_after: 1 },
    });
    expect(complete).toBe(true);
  });
});

test('a 429 of our own says in Retry-After when to come back', async () => {
  const scene = await startScene(
    { maxWait: 1_000 },
    { requests: { limit: 1, windowMs: 20_000 }, resetFormat: 'milliseconds' },
  );
  expect((await chat(scene)).status).toBe(200);
  const { status, headers, text } = await chat(scene);
  expect(status).toBe(429);
  expect(JSON.parse(text)).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
  expect(['18', '19', '20', '21', '22']).toContain(headers['retry-after']);
});

function ask(): string {
  const body = JSON.stringify({ ...CHAT, stream: true });
  return [
    'POST /api/v1/chat/completions HTTP/1.1',
    'Host: proxy',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

/** The text of the deltas in what came of a stream. */
function spoken(text: string): string {
  return [...text.matchAll(/"content":"([^"]*)"/g)].map(([, content]) => content).join('');
}

/** What an SSE client makes of one event. */
function dataOf(text: string): string {
  expect(text.indexOf('\n\n')).toBe(text.length - 2);
  const lines = text.slice(0, -2).split('\n');
  for (const line of lines) expect(line).toMatch(/^data: /);
  return lines.map((line) => line.slice('data: '.length)).join('\n');
}

describe('an answer that is no stream, behind an early head', () => {
  const headers = { 'Content-Type': 'application/json' };
  const pretty = JSON.stringify({ choices: [{ message: { content: 'Größer.\n\n' } }] }, null, 2);
  const big = JSON.stringify({ choices: [{ message: { content: 'x'.repeat(3_000_000) } }] });

  test.each<[string, Partial<Extract<Fault, { kind: 'answer' }>>, string]>([
    ['on many lines', { body: pretty }, pretty],
    ['of megabytes', { body: big }, big],
    ['with a line end at its end', { body: '{"a":1}\n' }, '{"a":1}'],
    ['with an empty line in it', { body: '{"a":\r\n\r\n1}' }, '{"a":\n\n1}'],
    [
      'compressed',
      { body: gzipSync(pretty), headers: { ...headers, 'Content-Encoding': 'gzip' } },
      pretty,
    ],
    ['as text', { body: 'ok', headers: { 'Content-Type': 'text/plain' } }, 'ok'],
  ])('is one event, whole: %s', async (_name, answer, data) => {
    const scene = await startLate();
    scene.venice.script({ kind: 'answer', status: 200, headers, delayMs: LATE_MS, ...answer });
    const reply = await chat(scene, { stream: true });
    expect(dataOf(behindNotes(reply)) === data).toBe(true);
    expect(reply.complete).toBe(true);
    expect(await scene.recorder.ended()).toMatchObject({ outcome: 'answered', code: undefined });
  });

  test('is whole wherever a chunk ends', async () => {
    const { client, upstream } = await meet({ heartbeat: BEAT_MS }, ask());
    await client.until(BEAT);
    await upstream.write(chunkedHead('application/json'));
    for (const piece of ['{"a":1,\r', '\n\n"b":"gr', '\u00f6', '",', '\n', '"c":3}']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await upstream.chunk(Buffer.from(piece));
    }
    await upstream.write(LAST_CHUNK);
    await client.until(LAST_CHUNK);
    const { body, complete } = parseAnswer(client.received);
    const [, text = ''] = body.toString().split(TOLD);
    expect(dataOf(text)).toBe('{"a":1,\n\n"b":"gr\u00f6",\n"c":3}');
    expect(complete).toBe(true);
  });

  test('is nothing but its end when it is empty', async () => {
    const scene = await startLate();
    scene.venice.script({ kind: 'answer', status: 200, delayMs: LATE_MS });
    const reply = await chat(scene, { stream: true });
    expect([behindNotes(reply), reply.complete]).toEqual(['', true]);
  });

  test('is an error event, and never complete, when it breaks', async () => {
    const { client, upstream, wire } = await meet({ heartbeat: BEAT_MS }, ask());
    await client.until(BEAT);
    await upstream.write(chunkedHead('application/json') + chunk('{"a":'));
    await client.until(TOLD);
    upstream.reset();
    await client.ended;
    const { body, complete } = parseAnswer(client.received);
    const [, text = ''] = body.toString().split(TOLD);
    expect(errorIn(text)).toMatchObject({ error: { code: 'upstream_disconnected' } });
    expect(complete).toBe(false);
    expect(wire.lines).toHaveLength(1);
  });
});

describe('a stream, behind an early head', () => {
  const BROKEN = {
    error: {
      message: 'The connection to the upstream broke in the middle of its answer.',
      type: 'server_error',
      param: null,
      code: 'upstream_disconnected',
    },
  };

  test.each([false, 'gzip', 'br', 'deflate'] as const)(
    'ends with an error event when it breaks (compressed: %s)',
    async (compress) => {
      const scene = await startLate();
      scene.venice.script({ kind: 'cut-stream', afterEvents: 3, latencyMs: LATE_MS, compress });
      const reply = await chat(scene, { stream: true });
      const text = behindNotes(reply);
      const at = text.lastIndexOf('data: ');
      expect(spoken(text.slice(0, at))).toBe('The stand-in ');
      expect(errorIn(text.slice(at))).toEqual(BROKEN);
      expect(reply.complete).toBe(false);
      expect(await scene.recorder.ended()).toMatchObject({
        outcome: 'broken',
        code: 'upstream_disconnected',
      });
    },
  );

  test.each(['gzip', 'br', 'deflate'] as const)('is decoded: %s', async (compress) => {
    const scene = await startLate();
    scene.venice.script({ kind: 'ok', latencyMs: LATE_MS, compress });
    const reply = await chat(scene, { stream: true });
    expect(reply.headers['content-encoding']).toBeUndefined();
    expect(spoken(behindNotes(reply))).toBe('The stand-in for Venice heard: Tell me of the sea.');
    expect(reply.text).toMatch(/data: \[DONE\]\n\n$/);
    expect(reply.complete).toBe(true);
  });

  test('that cannot be decoded ends with an error event', async () => {
    const scene = await startLate();
    const headers = { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' };
    scene.venice.script({ kind: 'answer', status: 200, headers, body: 'x', delayMs: LATE_MS });
    const reply = await chat(scene, { stream: true });
    expect(errorIn(behindNotes(reply))).toMatchObject({ error: { code: 'upstream_invalid' } });
    expect(reply.complete).toBe(false);
  });

  test('that is decoded is read no faster than the client reads', async () => {
    let answer: Response | undefined;
    const { client, upstream } = await meet({ heartbeat: BEAT_MS }, ask(), {
      before: (app) =>
        void app.use((_req, res, next) => {
          answer = res;
          next();
        }),
    });
    await client.until(BEAT);
    const plain = `data: "${randomBytes(30_000_000).toString('base64')}"\n\n${DONE}`;
    const coded = gzipSync(plain, { level: 1 });
    client.socket.pause();
    let written = upstream.write(
      head(`Content-Type: ${EVENTS}`, 'Content-Encoding: gzip', 'Connection: close'),
    );
    for (let at = 0; at < coded.length; at += 65_536) {
      written = upstream.write(coded.subarray(at, at + 65_536));
    }
    await standsStill(() => upstream.bytesSent);
    expect(upstream.bytesSent).toBeLessThan(coded.length - 10_000_000);
    expect(answer?.writableLength).toBeLessThan(4_000_000);
    client.socket.resume();
    await written;
    upstream.fin();
    await client.when(() => client.bytesReceived > plain.length);
    await client.until(LAST_CHUNK);
    const { body, complete } = parseAnswer(client.received);
    expect(body.toString('latin1').endsWith(`${TOLD}${plain}`)).toBe(true);
    expect(complete).toBe(true);
  });
});
