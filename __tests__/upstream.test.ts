import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { resolveOptions } from '../lib/options.ts';
import { StandInAnswer, StandInRequest, createUpstream } from '../lib/upstream.ts';
import type { CallEvents } from '../lib/upstream.ts';
import { listen } from './helpers/serve.ts';
import type { Running } from './helpers/serve.ts';

const open: Running[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});

async function upstreamServer(handler: http.RequestListener): Promise<Running> {
  const running = await listen(handler);
  open.push(running);
  return running;
}

/** Tells every name that somebody reads, writes or asks for. */
function watched<T extends object>(object: T, touched: Set<string>): T {
  return new Proxy(object, {
    get(target, name) {
      touched.add(String(name));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set(target, name, value) {
      touched.add(String(name));
      return Reflect.set(target, name, value, target);
    },
    has(target, name) {
      touched.add(String(name));
      return Reflect.has(target, name);
    },
  });
}

function callOnce(
  target: string,
  touched: { request: Set<string>; answer: Set<string> },
  { body = '', fresh = false } = {},
): Promise<IncomingMessage | Error> {
  const upstream = createUpstream(resolveOptions({ target }));
  return new Promise((resolve) => {
    const answer = new StandInAnswer();
    const events: CallEvents = {
      onRequest: () => {},
      onBodyWanted: (request) => request.end(body),
      onResponse: (response) => {
        response.resume().on('end', () => {
          answer.finish();
          resolve(response);
        });
      },
      onError: resolve,
    };
    const headers = { 'content-length': String(body.length) };
    const request = new StandInRequest('POST', '/up/chat?x=1', headers, events);
    upstream.call(watched(request, touched.request), watched(answer, touched.answer), fresh);
  });
}

test('http-proxy-middleware touches nothing of the stand-ins but what they have', async () => {
  const running = await upstreamServer((req, res) => {
    req.resume().on('end', () => res.end('{}'));
  });
  const touched = { request: new Set<string>(), answer: new Set<string>() };
  await callOnce(running.origin, touched, { body: '{}' });
  await callOnce('http://127.0.0.1:1', touched, { body: '{}' });

  const known = new StandInRequest('GET', '/', {}, {} as CallEvents);
  for (const name of touched.request) expect([name, name in known]).toEqual([name, true]);
  for (const name of touched.answer) {
    expect([name, name in new StandInAnswer()]).toEqual([name, true]);
  }
  expect([...touched.request]).toEqual(
    expect.arrayContaining(['url', 'method', 'headers', 'pipe']),
  );
  expect([...touched.answer]).toEqual(expect.arrayContaining(['on', 'finished']));
});

test('a connection that cannot be made is told as an error', async () => {
  const touched = { request: new Set<string>(), answer: new Set<string>() };
  const result = await callOnce('http://127.0.0.1:1', touched);
  expect(result).toMatchObject({ code: 'ECONNREFUSED' });
});

test('calls share a kept connection; fresh calls never do', async () => {
  const ports: (number | undefined)[] = [];
  const running = await upstreamServer((req, res) => {
    ports.push(req.socket.remotePort);
    req.resume().on('end', () => res.end('{}'));
  });
  const upstream = createUpstream(resolveOptions({ target: running.origin }));
  const call = (fresh: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const answer = new StandInAnswer();
      const request = new StandInRequest(
        'GET',
        '/',
        {},
        {
          onRequest: () => {},
          onBodyWanted: (each) => each.end(),
          onResponse: (response) => {
            response.resume().on('end', () => {
              answer.finish();
              // The socket goes back to its agent a moment after the answer.
              setImmediate(resolve);
            });
          },
          onError: reject,
        },
      );
      upstream.call(request, answer, fresh);
    });
  await call(false);
  await call(false);
  await call(true);
  await call(true);
  expect(ports[1]).toBe(ports[0]);
  expect(new Set(ports).size).toBe(3);
});

test('an answer that is given up ends the upstream call, in whichever phase', async () => {
  let closed: (() => void) | undefined;
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const running = await upstreamServer((req) => {
    req.on('close', () => closed?.());
  });
  const upstream = createUpstream(resolveOptions({ target: running.origin }));
  const answer = new StandInAnswer();
  upstream.call(
    new StandInRequest(
      'GET',
      '/',
      {},
      {
        onRequest: (request) => request.on('finish', () => answer.destroy()),
        onBodyWanted: (request) => request.end(),
        onResponse: () => {},
        onError: () => {},
      },
    ),
    answer,
    false,
  );
  await gone;
  expect(answer.destroyed).toBe(true);
});
