import { describe, expect, test } from '@jest/globals';
import compression from 'compression';
import createDebug from 'debug';
import type { Express, NextFunction, Request, Response } from 'express';
import { format } from 'node:util';
import { APIError } from 'openai';
import type { Fault } from '../examples/stand-in-venice.ts';
import { CHAT, chat, closeAfterTest, startScene } from './helpers/scene.ts';
import { EXPRESSES, send } from './helpers/serve.ts';
import { startSdk } from './helpers/start-sdk.ts';
import { until } from './helpers/until.ts';
import {
  DONE,
  EVENTS,
  LAST_CHUNK,
  chunk,
  chunkedHead,
  event,
  meet,
  parseAnswer,
  valuesOf,
  wholeOf,
} from './helpers/wire.ts';
import type { Line } from './helpers/wire.ts';

const BEAT_MS = 30;
const BEAT = ': venice-proxy is waiting for the upstream\n\n';

/** So late comes an answer that the client hears a beat or more before it. */
const LATE_MS = 5 * BEAT_MS;

function beatsIn(text: string): number {
  return text.split(BEAT).length - 1;
}

/** A chat request that asks for a stream, as it stands on the wire. */
function ask({ version = '1.1', headers = [] as string[] } = {}): string {
  const body = JSON.stringify({ ...CHAT, stream: true });
  return [
    `POST /api/v1/chat/completions HTTP/${version}`,
    'Host: proxy',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    ...headers,
    '',
    body,
  ].join('\r\n');
}

function beats(client: Line, count: number): Promise<void> {
  return client.when(() => beatsIn(client.text) >= count);
}

const timers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('a client that waits for a stream', () => {
  test.each(EXPRESSES)(
    'hears a comment at each beat until the first event: %s',
    async (_, express) => {
      const { client, upstream, front } = await meet({ heartbeat: BEAT_MS }, ask(), { express });
      await beats(client, 3);
      expect(parseAnswer(client.received).status).toBe(200);
      expect(valuesOf(client, 'content-type')).toEqual(['text/event-stream; charset=utf-8']);
      expect(valuesOf(client, 'cache-control')).toEqual(['no-cache, no-transform']);
      expect(valuesOf(client, 'x-accel-buffering')).toEqual(['no']);
      expect(client.text).not.toContain('x-venice-proxy-');
      // The upstream's own comments are no event.
      await upstream.write(chunkedHead(EVENTS) + chunk(': thinking\n\n'));
      const before = beatsIn(client.text);
      await beats(client, before + 2);
      await upstream.write(chunk(event(1) + DONE) + LAST_CHUNK);
      await client.until(LAST_CHUNK);
      const { body, complete } = parseAnswer(client.received);
      const told = ': x-venice-proxy-attempts=1 x-venice-proxy-wait=0\n\n';
      expect(body.toString().replaceAll(BEAT, '')).toBe(`${told}: thinking\n\n${event(1)}${DONE}`);
      expect(body.indexOf(told)).toBeGreaterThan(body.lastIndexOf(BEAT));
      expect(complete).toBe(true);
      const ended = await front.recorder.ended();
      expect(ended).toMatchObject({
        status: 200,
        outcome: 'answered',
        code: undefined,
        attempts: 1,
      });
      // A comment of ours is no byte of the answer's.
      expect(ended.firstByteMs).toBeGreaterThanOrEqual(5 * BEAT_MS - 5);
    },
  );

  test('hears it during retries, too, and then how many there were', async () => {
    const scene = await startScene({ heartbeat: BEAT_MS, retries: 2 });
    const refused: Fault = { kind: 'answer', status: 503, headers: { 'Retry-After': '0.15' } };
    scene.venice.script(refused, refused);
    const reply = await chat(scene, { stream: true, logprobs: true, top_logprobs: 2 });
    expect([reply.status, reply.complete]).toEqual([200, true]);
    expect(beatsIn(reply.text)).toBeGreaterThanOrEqual(2);
    const { attempts, waitedMs } = await scene.recorder.ended();
    expect(attempts).toBe(3);
    const [first = ''] = reply.text.replaceAll(BEAT, '').split('\n\n');
    expect(first).toBe(
      `: x-venice-proxy-attempts=3 x-venice-proxy-wait=${waitedMs} ` +
        'x-venice-proxy-dropped=logprobs, top_logprobs',
    );
    expect(reply.text).toMatch(/data: \[DONE\]\n\n$/);
    expect(reply.headers['x-venice-proxy-attempts']).toBeUndefined();
  });

  test('hears it while it is held in the gate', async () => {
    const scene = await startScene(
      { heartbeat: BEAT_MS },
      { requests: { limit: 1, windowMs: 500 }, resetFormat: 'milliseconds' },
    );
    expect((await chat(scene)).status).toBe(200);
    const reply = await chat(scene, { stream: true });
    expect([reply.status, reply.complete]).toEqual([200, true]);
    expect(scene.recorder.holds).toHaveLength(1);
    expect(beatsIn(reply.text)).toBeGreaterThanOrEqual(1);
    expect(reply.text).toMatch(/data: \[DONE\]\n\n$/);
  });

  test('hears nothing of it when the answer comes before the first beat', async () => {
    const scene = await startScene();
    const reply = await chat(scene, { stream: true });
    const direct = await send(`${scene.target}/chat/completions`, {
      body: { ...CHAT, stream: true },
    });
    expect(reply.text).toBe(direct.text);
    expect(reply.headers).toMatchObject({
      'x-venice-proxy-attempts': '1',
      'content-type': direct.headers['content-type'],
    });
  });

  test('hears nothing of it between two events', async () => {
    const { client, upstream } = await meet({ heartbeat: BEAT_MS }, ask());
    await beats(client, 1);
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1)));
    await client.until(event(1));
    const before = beatsIn(client.text);
    await new Promise((resolve) => {
      setTimeout(resolve, 4 * BEAT_MS);
    });
    await upstream.write(chunk(event(2) + DONE) + LAST_CHUNK);
    await client.until(LAST_CHUNK);
    expect(beatsIn(client.text)).toBe(before);
  });

  test('hears it at once behind compression()', async () => {
    const { client, upstream } = await meet(
      { heartbeat: BEAT_MS },
      ask({ headers: ['Accept-Encoding: gzip, deflate, br'] }),
      { before: (app) => void app.use(compression({ threshold: 0 })) },
    );
    await beats(client, 2);
    expect(valuesOf(client, 'content-encoding')).toEqual([]);
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1)));
    await client.until(event(1));
  });

  test('hears it over HTTP/1.0, where the end of the connection ends the stream', async () => {
    const { client, upstream } = await meet({ heartbeat: BEAT_MS }, ask({ version: '1.0' }));
    await beats(client, 2);
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1) + DONE) + LAST_CHUNK);
    const { ended, answer } = await wholeOf(client);
    expect(ended).toBe('fin');
    expect(answer.complete).toBeUndefined();
    expect(answer.body.toString().startsWith(BEAT)).toBe(true);
    expect(answer.body.toString().endsWith(`-wait=0\n\n${event(1)}${DONE}`)).toBe(true);
  });

  test('keeps what the app says in its own headers', async () => {
    const { client } = await meet({ heartbeat: BEAT_MS }, ask(), {
      before: (app) =>
        void app.use((_req, res, next) => {
          res.set({ 'Cache-Control': 'no-store', 'X-Request-Id': '7' });
          next();
        }),
    });
    await beats(client, 1);
    expect(valuesOf(client, 'cache-control')).toEqual(['no-store, no-transform']);
    expect(valuesOf(client, 'x-request-id')).toEqual(['7']);
  });

  test('is logged once, when its head goes out', async () => {
    const lines: string[] = [];
    const { log } = createDebug;
    createDebug.log = (...args: unknown[]) => void lines.push(format(...args));
    createDebug.enable('venice-proxy:heartbeat');
    closeAfterTest(() => {
      createDebug.disable();
      createDebug.log = log;
    });
    const { client } = await meet({ heartbeat: BEAT_MS }, ask());
    await beats(client, 3);
    expect(lines).toEqual([
      expect.stringMatching(
        /venice-proxy:heartbeat the client gets its head early id=1 model=llama-3\.3-70b afterMs=\d+/,
      ),
    ]);
  });
});

describe('true status codes', () => {
  const late: Fault = { kind: 'answer', status: 404, body: { error: 'no' }, delayMs: LATE_MS };
  const stream = { ...CHAT, stream: true };

  test.each<[string, string, object | undefined, object]>([
    ['who asks no stream', '/chat/completions', CHAT, {}],
    ['who asks `stream: false`', '/chat/completions', { ...CHAT, stream: false }, {}],
    ['who sends no body', '/models', undefined, {}],
    ['embeddings', '/embeddings', { model: 'm', input: 'x', stream: true }, {}],
    ['speech', '/audio/speech', { model: 'm', input: 'x', stream: true }, {}],
    ['streams with `heartbeat: 0`', '/chat/completions', stream, { heartbeat: 0 }],
    ['streams before the first beat', '/chat/completions', stream, { heartbeat: 60_000 }],
  ])('are for %s', async (_name, path, body, options) => {
    const scene = await startScene({ heartbeat: BEAT_MS, ...options });
    scene.venice.script(late);
    const reply = await send(scene.baseUrl + path, { body });
    expect([reply.status, reply.text]).toEqual([404, '{"error":"no"}']);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
  });
});

describe('the beats end', () => {
  test('with the answer: no timer is left', async () => {
    const scene = await startScene({ heartbeat: 60_000 });
    await chat(scene, { stream: true });
    await scene.recorder.ended();
    const before = timers();
    await chat(scene, { stream: true });
    scene.venice.script({ kind: 'answer', status: 400 });
    await chat(scene, { stream: true });
    await scene.recorder.ended(3);
    await until(() => timers() <= before);
    expect(scene.recorder.answers.map(({ status }) => status)).toEqual([200, 200, 400]);
  });

  test('with an error of our own: no timer is left', async () => {
    const scene = await startScene({ heartbeat: 60_000, retries: 0 });
    await chat(scene, { stream: true });
    await scene.recorder.ended();
    const before = timers();
    // The first one meets a kept connection, which is replaced.
    scene.venice.script({ kind: 'reset', after: 'body' }, { kind: 'reset', after: 'body' });
    expect((await chat(scene, { stream: true })).status).toBe(502);
    await scene.recorder.ended(2);
    await until(() => timers() <= before);
  });

  test.each([1, 0])('with the client, and so does the upstream call (%d beats)', async (count) => {
    const heartbeat = count === 0 ? 60_000 : BEAT_MS;
    const before = timers();
    const { client, upstream, front } = await meet({ heartbeat }, ask());
    await beats(client, count);
    client.reset();
    const { outcome, status } = await front.recorder.ended();
    expect([outcome, status]).toEqual(['client_left', count === 0 ? undefined : 200]);
    await upstream.ended;
    expect(front.proxy.inFlight).toBe(0);
    await until(() => timers() <= before);
  });

  test('when the app itself has answered', async () => {
    const before = (app: Express): void =>
      void app.use((_req: Request, res: Response, next: NextFunction) => {
        setTimeout(() => res.status(503).write('late'), BEAT_MS / 2);
        setTimeout(() => res.end(' as ever'), LATE_MS);
        next();
      });
    const scene = await startScene({ heartbeat: BEAT_MS }, {}, { before });
    scene.venice.script({ kind: 'silent' });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, reply.text, reply.complete]).toEqual([503, 'late as ever', true]);
  });

  test('when the app ends the stream behind our head', async () => {
    const scene = await startScene(
      { heartbeat: BEAT_MS },
      {},
      {
        before: (app) =>
          void app.use((_req, res, next) => {
            setTimeout(() => res.end(), LATE_MS);
            next();
          }),
      },
    );
    scene.venice.script({ kind: 'silent' });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, reply.complete]).toEqual([200, true]);
    expect(reply.text.replaceAll(BEAT, '')).toBe('');
  });

  test('when something of the app throws at the head, and the answer comes later', async () => {
    let thrown = 0;
    const before = (app: Express): void =>
      void app.use((_req: Request, res: Response, next: NextFunction) => {
        const flushHeaders = res.flushHeaders.bind(res);
        res.flushHeaders = () => {
          thrown += 1;
          res.flushHeaders = flushHeaders;
          throw new Error('odd');
        };
        next();
      });
    const scene = await startScene({ heartbeat: BEAT_MS }, { latencyMs: LATE_MS }, { before });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, reply.complete, thrown]).toEqual([200, true, 1]);
    expect(reply.text).toMatch(/^data: /);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
  });
});

describe('the OpenAI SDK', () => {
  const question = { model: CHAT.model, messages: [{ role: 'user' as const, content: 'Sea?' }] };

  test('reads a stream with comments in front of it', async () => {
    const { client } = await startSdk({
      proxy: { heartbeat: BEAT_MS },
      standIn: { latencyMs: LATE_MS },
    });
    const stream = await client.chat.completions.create({ ...question, stream: true });
    let text = '';
    for await (const part of stream) text += part.choices[0]?.delta.content ?? '';
    expect(text).toBe('The stand-in for Venice heard: Sea?');
  });

  test('raises an error for the event that tells a failure', async () => {
    const { client, venice } = await startSdk({ proxy: { heartbeat: BEAT_MS } });
    const body = { code: 'MODEL_NOT_FOUND', error: 'No such model.' };
    venice.script({ kind: 'answer', status: 404, body, delayMs: LATE_MS });
    const stream = await client.chat.completions.create({ ...question, stream: true });
    const reading = (async () => {
      for await (const part of stream) expect(part).toBeUndefined();
    })();
    await expect(reading).rejects.toBeInstanceOf(APIError);
    await expect(reading).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
      error: { message: 'No such model.', status: 404 },
    });
  });
});
