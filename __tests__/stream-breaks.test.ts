import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import compression from 'compression';
import type { Express, RequestHandler } from 'express';
import OpenAI, { APIError } from 'openai';
import type { Fault } from '../examples/stand-in-venice.ts';
import { CHAT, chat, startFront, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import {
  EVENTS,
  LAST_CHUNK,
  chunk,
  chunkedHead,
  dial,
  event,
  get,
  head,
  meet,
  parseAnswer,
  valuesOf,
  wholeOf,
} from './helpers/wire.ts';

const MIB = 1024 * 1024;

const HEARD = 'The stand-in for Venice heard: Tell me of the sea.';

/** The text of the deltas in what came of a stream. */
function spoken(text: string): string {
  return [...text.matchAll(/"content":"([^"]*)"/g)].map(([, content]) => content).join('');
}

const ERROR_EVENT = /^data: (\{"error":\{.*\}\})$/;

/** The error event that ends a stream; what stands before it is whole. */
function errorAtEnd(text: string): unknown {
  const events = text.split('\n\n');
  expect(events.pop()).toBe('');
  const [, json = ''] = ERROR_EVENT.exec(events.pop() ?? '') ?? [];
  for (const each of events) {
    const data = each.replace(/^data: /, '');
    expect(typeof JSON.parse(data)).toBe('object');
    expect(each).not.toMatch(ERROR_EVENT);
  }
  return JSON.parse(json);
}

const disconnected = {
  error: {
    message: 'The connection to the upstream broke in the middle of its answer.',
    type: 'server_error',
    param: null,
    code: 'upstream_disconnected',
  },
};
const silent = {
  error: {
    message: 'The upstream fell silent for 0.2 s in the middle of its answer.',
    type: 'server_error',
    param: null,
    code: 'upstream_timeout',
  },
};

const BREAKS: readonly (readonly [string, Fault, object])[] = [
  ['by FIN behind an event', { kind: 'cut-stream', afterEvents: 3 }, disconnected],
  ['by FIN inside an event', { kind: 'cut-stream', afterEvents: 3, midEvent: true }, disconnected],
  ['by RST behind an event', { kind: 'cut-stream', afterEvents: 3, ending: 'reset' }, disconnected],
  [
    'by RST inside an event',
    { kind: 'cut-stream', afterEvents: 3, midEvent: true, ending: 'reset' },
    disconnected,
  ],
  ['by silence behind an event', { kind: 'stall-stream', afterEvents: 3 }, silent],
  ['by silence inside an event', { kind: 'stall-stream', afterEvents: 3, midEvent: true }, silent],
];

describe.each(BREAKS)('a stream that breaks %s', (_name, fault, error) => {
  async function startBreak(): Promise<Scene> {
    const scene = await startScene({ timeout: { idle: 200 } });
    scene.venice.script(fault);
    return scene;
  }

  test('ends with an error event and a connection that is destroyed', async () => {
    const scene = await startBreak();
    const reply = await chat(scene, { stream: true });
    expect(reply.status).toBe(200);
    expect(reply.complete).toBe(false);
    expect(errorAtEnd(reply.text)).toEqual(error);
    expect(spoken(reply.text)).toBe('The stand-in ');
    expect(scene.venice.calls).toHaveLength(1);
    expect(scene.recorder.retries).toEqual([]);
    const { outcome, code, status } = await scene.recorder.ended();
    expect({ outcome, status, error: { code } }).toMatchObject({ outcome: 'broken', status: 200 });
    expect(error).toMatchObject({ error: { code } });
    await scene.venice.calls[0]?.over;
    expect(scene.proxy.inFlight).toBe(0);
  });

  test('never gets a last chunk', async () => {
    const scene = await startBreak();
    const client = await dial(scene.origin);
    await client.write(post('1.1'));
    const { answer } = await wholeOf(client);
    expect(client.text).not.toContain('\r\n0\r\n');
    expect(client.text).toMatch(/\}\}\n\n\r\n$/);
    expect(answer.complete).toBe(false);
    expect(errorAtEnd(answer.body.toString())).toEqual(error);
  });

  test.each(['HTTP/1.0', 'close-delimited'])('is reset for a %s client', async (kind) => {
    const { venice, target } = await startBreak();
    const before = (app: Express): void =>
      void app.use(kind === 'HTTP/1.0' ? passOn : withoutFraming);
    const front = await startFront({ target, timeout: { idle: 200 } }, { before });
    const client = await dial(front.origin);
    await client.write(post(kind === 'HTTP/1.0' ? '1.0' : '1.1'));
    const { ended, answer } = await wholeOf(client);
    expect(ended).toBe('reset');
    expect(answer.complete).toBeUndefined();
    expect(errorAtEnd(answer.body.toString())).toEqual(error);
    expect(venice.calls).toHaveLength(1);
  });

  test('raises an error in the OpenAI SDK', async () => {
    const scene = await startBreak();
    const client = new OpenAI({ apiKey: 'sdk-key', baseURL: scene.baseUrl, maxRetries: 0 });
    const stream = await client.chat.completions.create({
      model: CHAT.model,
      messages: [{ role: 'user', content: 'Tell me of the sea.' }],
      stream: true,
    });
    let content = '';
    const reading = (async () => {
      for await (const part of stream) content += part.choices[0]?.delta.content ?? '';
    })();
    await expect(reading).rejects.toBeInstanceOf(APIError);
    await expect(reading).rejects.toMatchObject(error);
    expect(content).toBe('The stand-in ');
  });
});

function post(version: string): string {
  const body = JSON.stringify({ ...CHAT, stream: true });
  return [
    `POST /api/v1/chat/completions HTTP/${version}`,
    'Host: proxy',
    'Authorization: Bearer test-key',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

const passOn: RequestHandler = (_req, _res, next) => next();

/** Leaves only the end of the connection to tell the end of an answer. */
const withoutFraming: RequestHandler = (_req, res, next) => {
  res.removeHeader('transfer-encoding');
  next();
};

describe('an event that is not finished', () => {
  test('is held back while it is shorter than 1 MiB', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1)));
    await upstream.chunk(`data: ${'x'.repeat(MIB - 100)}`);
    await client.until(event(1));
    upstream.reset();
    const { answer } = await wholeOf(client);
    expect(answer.complete).toBe(false);
    expect(answer.body.toString().startsWith(event(1))).toBe(true);
    expect(errorAtEnd(answer.body.toString())).toEqual(disconnected);
    expect(answer.body.length).toBeLessThan(1_000);
  });

  test('is passed on when it is longer, and then no event can follow it', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1)));
    const long = `data: ${'x'.repeat(MIB)}`;
    await upstream.chunk(long);
    await client.when(() => client.bytesReceived > long.length);
    upstream.fin();
    const { answer } = await wholeOf(client);
    expect(answer.complete).toBe(false);
    expect(answer.body.toString()).toBe(event(1) + long);
  });

  test('is whole when it ends, however long it was', async () => {
    const { client, upstream } = await meet();
    const long = `data: ${'x'.repeat(2 * MIB)}\n\n`;
    await upstream.write(chunkedHead(EVENTS));
    await upstream.chunk(long);
    await upstream.chunk(event(2));
    await client.until(event(2));
    upstream.reset();
    const { answer } = await wholeOf(client);
    expect(answer.body.toString().startsWith(long + event(2))).toBe(true);
    expect(answer.body.toString().slice(long.length + event(2).length)).toMatch(/^data: \{"error"/);
  });

  test('is passed on at the regular end of its stream', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS) + chunk(`${event(1)}data: [DONE]`) + LAST_CHUNK);
    await client.until(LAST_CHUNK);
    const answer = parseAnswer(client.received);
    expect(answer.complete).toBe(true);
    expect(answer.body.toString()).toBe(`${event(1)}data: [DONE]`);
  });
});

describe('an answer that breaks', () => {
  test('is destroyed without an error event when it is a compressed stream', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'cut-stream', afterEvents: 3, compress: 'gzip' });
    const reply = await chat(scene, { stream: true });
    expect(reply.headers['content-encoding']).toBe('gzip');
    expect(reply.complete).toBe(false);
    const text = gunzipSync(reply.body, { finishFlush: 2 }).toString();
    expect(spoken(text)).toBe('The stand-in ');
    expect(text).not.toContain('error');
    expect((await scene.recorder.ended()).outcome).toBe('broken');
  });

  test.each([
    [
      'with a length',
      head('Content-Type: application/json', 'Content-Length: 10'),
      '{"a":',
      '{"a":',
    ],
    ['in chunks', chunkedHead('application/json'), chunk('{"a":'), '{"a":'],
    ['in an error', 'HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\n', '{"a":', '{"a":'],
  ])('is never complete: JSON %s', async (_name, itsHead, sent, received) => {
    for (const ending of ['fin', 'reset'] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one ending after the other
      const { client, upstream, front } = await meet();
      // oxlint-disable-next-line no-await-in-loop
      await upstream.write(itsHead + sent);
      // oxlint-disable-next-line no-await-in-loop
      if (!itsHead.includes(' 400 ')) await client.until(received);
      upstream[ending]();
      // oxlint-disable-next-line no-await-in-loop
      const { answer } = await wholeOf(client);
      expect(answer.complete).toBe(false);
      expect(answer.body.toString()).toBe(received);
      // oxlint-disable-next-line no-await-in-loop
      expect(await front.recorder.ended()).toMatchObject({ outcome: 'broken', attempts: 1 });
    }
  });

  test.each(['HTTP/1.0', 'close-delimited'])(
    'is reset for a %s client, as its end would look clean',
    async (kind) => {
      const { client, upstream } = await meet(
        {},
        get('/models', { version: kind === 'HTTP/1.0' ? '1.0' : '1.1' }),
        { before: (app) => void app.use(kind === 'HTTP/1.0' ? passOn : withoutFraming) },
      );
      await upstream.write(chunkedHead('application/json') + chunk('{"a":'));
      await client.until('{"a":');
      upstream.fin();
      expect(await wholeOf(client)).toMatchObject({
        ended: 'reset',
        answer: { complete: undefined, body: Buffer.from('{"a":') },
      });
    },
  );

  test('raises an error in the OpenAI SDK', async () => {
    const scene = await startScene();
    const client = new OpenAI({ apiKey: 'sdk-key', baseURL: scene.baseUrl, maxRetries: 0 });
    const ask = (stream: boolean): Promise<unknown> =>
      client.chat.completions
        .create({ model: CHAT.model, messages: [{ role: 'user', content: 'Hello.' }], stream })
        .then(async (answer) => {
          if ('choices' in answer) return answer;
          const parts = [];
          for await (const part of answer) parts.push(part);
          return parts;
        });
    scene.venice.script({ kind: 'cut-body', bytes: 20 });
    await expect(ask(false)).rejects.toMatchObject({ message: 'terminated' });
    scene.venice.script({ kind: 'cut-stream', afterEvents: 2, compress: 'gzip', ending: 'reset' });
    await expect(ask(true)).rejects.toMatchObject({ message: 'terminated' });
    await expect(ask(true)).resolves.toBeInstanceOf(Array);
    expect(scene.venice.calls).toHaveLength(3);
  });

  test.each(['fin', 'reset'] as const)(
    'behind compression(), by %s, is never complete',
    async (how) => {
      const request = get('/models', { headers: ['Accept-Encoding: gzip'] });
      const { client, upstream } = await meet({}, request, {
        before: (app) => void app.use(compression()),
      });
      await upstream.write(chunkedHead('application/json'));
      // What cannot be compressed does not stay in the coder.
      await upstream.chunk(randomBytes(200_000).toString('base64'));
      await client.when(() => client.bytesReceived > 100_000);
      expect(valuesOf(client, 'content-encoding')).toEqual(['gzip']);
      upstream[how]();
      const { answer } = await wholeOf(client);
      expect(answer.complete).toBe(false);
      expect(client.text).not.toMatch(/\r\n0\r\n\r\n$/);
    },
  );
});

describe('the commit', () => {
  test.each<readonly [string, Fault]>([
    ['by FIN', { kind: 'cut-stream', afterEvents: 0 }],
    ['by RST', { kind: 'cut-stream', afterEvents: 0, ending: 'reset' }],
    ['by FIN inside of it', { kind: 'cut-stream', afterEvents: 0, midEvent: true }],
    [
      'by RST inside of it',
      { kind: 'cut-stream', afterEvents: 0, midEvent: true, ending: 'reset' },
    ],
  ])('comes with the first event: a break before it, %s, leaves no trace', async (_name, fault) => {
    const scene = await startScene();
    scene.venice.script(fault);
    const reply = await chat(scene, { stream: true });
    const direct = await send(`${scene.target}/chat/completions`, {
      body: { ...CHAT, stream: true },
    });
    expect(reply).toMatchObject({ status: 200, complete: true, text: direct.text });
    expect(spoken(reply.text)).toBe(HEARD);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
    expect(scene.venice.calls).toHaveLength(3);
    expect(scene.recorder.retries).toMatchObject([{ attempt: 1, status: undefined }]);
    expect(scene.recorder.delays[0]).toBeLessThanOrEqual(1);
    expect(await scene.recorder.ended()).toMatchObject({ outcome: 'answered', attempts: 2 });
  });

  test('comes with the first event: nothing is retried after it', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'cut-stream', afterEvents: 1 });
    const reply = await chat(scene, { stream: true });
    expect(reply.complete).toBe(false);
    expect(errorAtEnd(reply.text)).toEqual(disconnected);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
    expect(scene.venice.calls).toHaveLength(1);
    expect(scene.recorder.delays).toEqual([]);
  });

  test('comes with the first byte of any other body: a break before it is retried', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'cut-body', bytes: 0 }, { kind: 'cut-body', bytes: 1 });
    const reply = await chat(scene);
    expect(reply).toMatchObject({ status: 200, complete: false, text: '{' });
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
    expect(scene.venice.calls).toHaveLength(2);
    expect(scene.recorder.delays).toHaveLength(1);
  });

  test('has not come when the upstream falls silent before the first event: 504, no retry', async () => {
    const scene = await startScene({ timeout: { idle: 100 } });
    scene.venice.script({ kind: 'stall-stream', afterEvents: 0, midEvent: true });
    const reply = await chat(scene, { stream: true });
    expect(reply).toMatchObject({ status: 504, complete: true });
    expect(reply.text).toContain('"code":"upstream_timeout"');
    expect(scene.venice.calls).toHaveLength(1);
    expect(scene.recorder.delays).toEqual([]);
  });

  test('of a comment counts, too: it is a byte of the body', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS) + chunk(': thinking\n\n'));
    await client.until(': thinking\n\n');
    upstream.reset();
    const { answer } = await wholeOf(client);
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toMatch(/^: thinking\n\ndata: \{"error":.*\}\n\n$/);
  });
});
