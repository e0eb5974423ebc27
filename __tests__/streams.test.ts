import type http from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import compression from 'compression';
import type { Express } from 'express';
import * as fc from 'fast-check';
import { chat, startFront, startScene } from './helpers/scene.ts';
import { EXPRESSES, send } from './helpers/serve.ts';
import {
  EVENTS,
  LAST_CHUNK,
  chunk,
  chunkedHead,
  event,
  get,
  head,
  meet,
  parseAnswer,
  standsStill,
  startUpstream,
  valuesOf,
  wholeOf,
} from './helpers/wire.ts';

const MIB = 1024 * 1024;

const LONG_EVENT = `data: ${'x'.repeat(MIB / 2)}\n\n`;

const compressed = (app: Express): void => void app.use(compression({ threshold: 0 }));

describe('a stream', () => {
  test('brings each event before the upstream sends the next one', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS));
    for (let number = 0; number < 10; number += 1) {
      // oxlint-disable-next-line no-await-in-loop -- the next event waits for this one
      await upstream.chunk(event(number));
      // oxlint-disable-next-line no-await-in-loop
      await client.until(event(number));
    }
    await upstream.write(LAST_CHUNK);
    await client.until(LAST_CHUNK);
    const answer = parseAnswer(client.received);
    expect(answer.complete).toBe(true);
    expect(answer.body.toString()).toBe(Array.from({ length: 10 }, (_, n) => event(n)).join(''));
  });

  test('brings comments at once, also the one that comes first', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS));
    await upstream.chunk(': thinking\n\n');
    await client.until(': thinking\n\n');
    await upstream.chunk(event(1));
    await client.until(event(1));
    await upstream.chunk(': still thinking\n\n');
    await client.until(': still thinking\n\n');
    expect(parseAnswer(client.received).body.toString()).toBe(
      `: thinking\n\n${event(1)}: still thinking\n\n`,
    );
  });

  test('brings an event that comes together with a part of the next one', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS));
    await upstream.chunk(`${event(1)}data: {"n"`);
    await client.until(event(1));
    expect(client.text).not.toContain('data: {"n"\r\n');
    await upstream.chunk(':2}\n\n');
    await client.until(event(2));
  });

  test.each([
    ['none', [], ['no-transform']],
    ['no-cache', ['Cache-Control: no-cache'], ['no-cache, no-transform']],
    ['no-transform already', ['Cache-Control: no-transform, no-cache'], ['no-transform, no-cache']],
    ['No-Transform already', ['Cache-Control: No-Transform'], ['No-Transform']],
  ])('says no-transform where the upstream says %s', async (_name, headers, said) => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead(EVENTS, ...headers) + chunk(event(1)) + LAST_CHUNK);
    await client.until(LAST_CHUNK);
    expect(valuesOf(client, 'cache-control')).toEqual(said);
    expect(valuesOf(client, 'x-accel-buffering')).toEqual(['no']);
  });

  test('is announced in the same way when it is compressed', async () => {
    const { client, upstream } = await meet();
    const gzip = gzipSync(event(1));
    await upstream.write(chunkedHead(`${EVENTS}; charset=utf-8`, 'Content-Encoding: gzip'));
    await upstream.chunk(gzip);
    await upstream.write(LAST_CHUNK);
    await client.until(LAST_CHUNK);
    expect(valuesOf(client, 'cache-control')).toEqual(['no-transform']);
    expect(valuesOf(client, 'x-accel-buffering')).toEqual(['no']);
    expect(parseAnswer(client.received).body).toEqual(gzip);
  });

  test('that is none keeps its Cache-Control', async () => {
    const { client, upstream } = await meet();
    await upstream.write(
      `${head('Content-Type: application/json', 'Cache-Control: no-cache', 'Content-Length: 2')}{}`,
    );
    await client.until('{}');
    expect(valuesOf(client, 'cache-control')).toEqual(['no-cache']);
    expect(valuesOf(client, 'x-accel-buffering')).toEqual([]);
  });

  test('loses its Content-Length, as an error event may have to follow', async () => {
    const { client, upstream } = await meet();
    const length = event(1).length;
    await upstream.write(head(`Content-Type: ${EVENTS}`, `Content-Length: ${length}`) + event(1));
    await client.until(LAST_CHUNK);
    expect(valuesOf(client, 'content-length')).toEqual([]);
    expect(parseAnswer(client.received).body.toString()).toBe(event(1));
  });

  test('has the same bytes whatever the pieces in which it comes', async () => {
    const line = fc.constantFrom(
      'data: {"c":"é"}',
      ': ü',
      'event: 漢字',
      'id: 😀',
      '',
      'x',
      '\ufeff',
    );
    const end = fc.constantFrom('\n', '\r\n', '\r', '\n\n', '\r\n\r\n', '\r\r');
    const text = fc
      .array(fc.tuple(line, end), { maxLength: 20 })
      .map((lines) => Buffer.from(lines.flat().join('')));
    const type = fc.constantFrom(
      EVENTS,
      `${EVENTS}; charset=utf-8`,
      'application/json',
      'audio/mpeg',
    );
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });

    let serve: http.RequestListener | undefined;
    const upstream = await startUpstream((req, res) => serve?.(req, res));
    const front = await startFront({ target: upstream });
    await fc.assert(
      fc.asyncProperty(text, type, sizes, fc.boolean(), async (body, contentType, cuts, apart) => {
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < body.length; turn += 1) {
          const size = cuts[turn % cuts.length] ?? 1;
          pieces.push(body.subarray(at, at + size));
          at += size;
        }
        serve = (_req, res) => {
          res.writeHead(200, { 'Content-Type': contentType });
          res.flushHeaders();
          const next = (): void => {
            const piece = pieces.shift();
            if (piece === undefined) res.end();
            // The callback comes when the system has the piece: each is a packet of its own.
            else if (apart) res.write(piece, () => setImmediate(next));
            else {
              res.write(piece);
              next();
            }
          };
          next();
        };
        const reply = await send(`${front.baseUrl}/models`);
        expect(reply.complete).toBe(true);
        expect(reply.headers['content-type']).toBe(contentType);
        expect(reply.body.equals(body)).toBe(true);
      }),
      { seed: 20261101, numRuns: 80 },
    );
  }, 30_000);

  test.each([EVENTS, 'application/octet-stream'])(
    'of %s without end is stopped by a client that does not read',
    async (type) => {
      const { client, upstream } = await meet();
      client.socket.pause();
      await upstream.write(chunkedHead(type));
      const cap = 64 * MIB;
      const piece = `data: ${'x'.repeat(32 * 1024)}\n\n`;
      let sent = 0;
      const pump = async (): Promise<void> => {
        while (sent < cap) {
          // oxlint-disable-next-line no-await-in-loop -- as fast as the proxy takes it
          await upstream.chunk(piece);
          sent += piece.length;
        }
      };
      const pumped = pump();
      await standsStill(() => sent);
      expect(sent).toBeLessThan(cap / 2);
      client.socket.resume();
      await pumped;
      await upstream.write(LAST_CHUNK);
      await client.when(() => client.bytesReceived > sent);
      expect(sent).toBeGreaterThanOrEqual(cap);
    },
    30_000,
  );

  test('that breaks while its client does not read ends with the error event when it does', async () => {
    const { client, upstream } = await meet();
    client.socket.pause();
    void upstream.write(chunkedHead(EVENTS));
    for (let count = 0; count < 32; count += 1) void upstream.chunk(LONG_EVENT);
    upstream.fin();
    await standsStill(() => upstream.bytesSent);
    expect(upstream.socket.writableLength).toBeGreaterThan(0);
    client.socket.resume();
    const { answer } = await wholeOf(client);
    const text = answer.body.toString();
    expect(answer.complete).toBe(false);
    expect(text.startsWith(LONG_EVENT.repeat(32))).toBe(true);
    expect(text.slice(32 * LONG_EVENT.length)).toMatch(/^data: \{"error":\{.*\}\}\n\n$/);
  }, 20_000);

  test.each(EXPRESSES)('comes, breaks and is left in the same way in %s', async (_name, its) => {
    const { client, upstream, front } = await meet({}, get('/models'), { express: its });
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1)));
    await client.until(event(1));
    await upstream.chunk('data: {"n"');
    upstream.reset();
    const { answer } = await wholeOf(client);
    expect(answer.complete).toBe(false);
    expect(answer.body.toString()).toMatch(/^data: \{"n":1\}\n\ndata: \{"error":\{.*\}\}\n\n$/);
    expect(await front.recorder.ended()).toMatchObject({ outcome: 'broken' });
    const leaving = await meet({}, get('/models'), { express: its });
    await leaving.upstream.write(chunkedHead(EVENTS) + chunk(event(1)));
    await leaving.client.until(event(1));
    leaving.client.reset();
    await leaving.upstream.ended;
    expect(await leaving.front.recorder.ended()).toMatchObject({ outcome: 'client_left' });
  });

  test('passes compression() without being held back or encoded', async () => {
    const request = get('/models', { headers: ['Accept-Encoding: gzip'] });
    const { client, upstream } = await meet({}, request, { before: compressed });
    await upstream.write(chunkedHead(EVENTS));
    for (const number of [1, 2, 3]) {
      // oxlint-disable-next-line no-await-in-loop -- the next event waits for this one
      await upstream.chunk(event(number));
      // oxlint-disable-next-line no-await-in-loop
      await client.until(event(number));
    }
    expect(valuesOf(client, 'content-encoding')).toEqual([]);
    upstream.reset();
    const { answer } = await wholeOf(client);
    expect(answer.complete).toBe(false);
    expect(answer.body.toString()).toMatch(/data: \{"error":\{.*\}\}\n\n$/);
  });
});

describe('an answer', () => {
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, place) => (place * 31) % 256));

  test.each(['length', 'chunks'])(
    'of binary goes through byte for byte, framed by %s',
    async (how) => {
      const upstream = await startUpstream((_req, res) => {
        res.setHeader('Content-Type', 'audio/mpeg');
        res.setHeader('ETag', '"abc"');
        res.setHeader('Accept-Ranges', 'bytes');
        if (how === 'length') res.setHeader('Content-Length', bytes.length);
        res.end(bytes);
      });
      const front = await startFront({ target: upstream });
      const reply = await send(`${front.baseUrl}/models`);
      expect(reply).toMatchObject({ status: 200, complete: true });
      expect(reply.body.equals(bytes)).toBe(true);
      expect(reply.headers).toMatchObject({
        'content-type': 'audio/mpeg',
        etag: '"abc"',
        'accept-ranges': 'bytes',
        ...(how === 'length' ? { 'content-length': '70000' } : {}),
      });
    },
  );

  test('of gzip goes through byte for byte with what describes it', async () => {
    const gzip = gzipSync(JSON.stringify({ text: 'x'.repeat(10_000) }));
    const upstream = await startUpstream((_req, res) => {
      res.setHeader('Content-Type', 'application/json');
      res.setHeader('Content-Encoding', 'gzip');
      res.setHeader('Content-Length', gzip.length);
      res.end(gzip);
    });
    const front = await startFront({ target: upstream });
    const reply = await send(`${front.baseUrl}/models`, { headers: { 'accept-encoding': 'gzip' } });
    expect(reply.complete).toBe(true);
    expect(reply.body.equals(gzip)).toBe(true);
    expect(reply.headers).toMatchObject({
      'content-encoding': 'gzip',
      'content-length': String(gzip.length),
    });
  });

  test('to HEAD has the headers of its GET and no body', async () => {
    const { client, upstream } = await meet({}, get('/models').replace('GET', 'HEAD'));
    expect(upstream.text).toMatch(/^HEAD \/up\/models HTTP\/1\.1\r\n/);
    await upstream.write(head('Content-Type: application/json', 'Content-Length: 12345'));
    await client.until('\r\n\r\n');
    expect(valuesOf(client, 'content-length')).toEqual(['12345']);
    expect(valuesOf(client, 'content-type')).toEqual(['application/json']);
    // The connection serves the next request: nothing of a body was announced in vain.
    await client.write(get('/models'));
    await upstream.until('GET');
    await upstream.write(`${head('Content-Length: 2')}{}`);
    await client.until('{}');
    expect(client.text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  });

  test.each([
    ['204', 'HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n'],
    ['304', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\nX-Kept: yes\r\n\r\n'],
  ])('with status %s has headers, no body, and an end', async (status, bytesOfAnswer) => {
    const { client, upstream } = await meet();
    await upstream.write(bytesOfAnswer);
    await client.until('\r\n\r\n');
    expect(client.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(valuesOf(client, 'x-kept')).toEqual(['yes']);
    expect(valuesOf(client, 'transfer-encoding')).toEqual([]);
    await client.write(get('/models'));
    await upstream.until('/models HTTP/1.1');
    await upstream.when(() => upstream.text.split('GET ').length === 3);
    await upstream.write(`${head('Content-Length: 2')}{}`);
    await client.until('{}');
    expect(client.text.endsWith('\r\n\r\n{}')).toBe(true);
  });

  test.each([EVENTS, 'application/json'])(
    'of %s that only the end of its connection ends is complete',
    async (type) => {
      const { client, upstream } = await meet();
      await upstream.write(head(`Content-Type: ${type}`, 'Connection: close') + event(1));
      await client.until(event(1));
      await upstream.write(event(2));
      upstream.fin();
      await client.until(LAST_CHUNK);
      expect(parseAnswer(client.received)).toMatchObject({
        complete: true,
        body: Buffer.from(event(1) + event(2)),
      });
    },
  );

  test('goes to an HTTP/1.0 client without chunks and ends with the connection', async () => {
    const { client, upstream } = await meet({}, get('/models', { version: '1.0' }));
    await upstream.write(chunkedHead(EVENTS) + chunk(event(1)) + chunk(event(2)) + LAST_CHUNK);
    const { ended, answer } = await wholeOf(client);
    expect(ended).toBe('fin');
    expect(valuesOf(client, 'transfer-encoding')).toEqual([]);
    expect(answer.body.toString()).toBe(event(1) + event(2));
  });

  test('that has interim answers before it comes alone', async () => {
    const { client, upstream } = await meet();
    await upstream.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
    await upstream.write('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n');
    await upstream.write(`${head('Content-Length: 2')}{}`);
    await client.until('{}');
    expect(client.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(valuesOf(client, 'link')).toEqual([]);
  });

  test('that breaks after an interim one is a lost one', async () => {
    const scene = await startScene();
    scene.venice.script(
      { kind: 'raw', bytes: 'HTTP/1.1 103 Early Hints\r\n\r\n' },
      { kind: 'ok', informational: [103, 103] },
    );
    const reply = await chat(scene);
    expect(reply).toMatchObject({ status: 200, complete: true });
    expect(scene.venice.calls).toHaveLength(2);
    expect(scene.recorder.delays).toHaveLength(1);
  });

  test('with an error that is longer than what is read of it at first comes whole', async () => {
    const { client, upstream } = await meet();
    await upstream.write('HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n');
    const page = 'x'.repeat(4_096);
    // All at once, so that the proxy finds many small pieces in one read.
    await upstream.write(Buffer.concat(Array.from({ length: 40 }, () => chunk(page))));
    await client.when(() => client.bytesReceived > 40 * page.length);
    await upstream.write(Buffer.concat(Array.from({ length: 40 }, () => chunk(page))));
    await upstream.write(LAST_CHUNK);
    await client.until(LAST_CHUNK);
    const answer = parseAnswer(client.received);
    expect(answer).toMatchObject({ status: 404, complete: true });
    expect(answer.body.toString()).toBe(page.repeat(80));
  });
});
