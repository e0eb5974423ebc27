import type { RequestListener } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import express from 'express';
import { createReadyCheck } from '../examples/server/ready.ts';
import { listen, send } from './helpers/serve.ts';
import type { Reply, Running } from './helpers/serve.ts';
import { startTestServer } from './helpers/start-test-server.ts';

const open: Running[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});

const LIMITS = { answerMs: 200, healthyMs: 300, unhealthyMs: 100 };

/** The check of a target that behaves as `listener`, and how often that was asked. */
async function checkOf(listener: RequestListener, path = '/api/v1') {
  const asked: string[] = [];
  const target = await listen((req, res) => {
    asked.push(`${req.method} ${req.url}`);
    listener(req, res);
  });
  const proxy = { target: target.origin + path, draining: false };
  const server = await listen(express().get('/ready', createReadyCheck(proxy, LIMITS)));
  open.push(target, server);
  return { asked, target, proxy, ask: (): Promise<Reply> => send(`${server.origin}/ready`) };
}

describe('GET /ready', () => {
  test('a target without /models is not healthy, and the reason says what may be wrong', async () => {
    const { ask } = await checkOf((_req, res) => {
      res.writeHead(404).end('{}');
    });
    const reply = await ask();
    expect(reply.status).toBe(503);
    expect(JSON.parse(reply.text)).toMatchObject({
      status: 'unhealthy',
      reason: expect.stringContaining('/api/v1'),
    });
  });

  test.each([200, 301, 401, 429])('a target that answers %d is reachable', async (status) => {
    const { asked, ask, proxy } = await checkOf((_req, res) => {
      res.writeHead(status, { location: '/elsewhere' }).end('{}');
    });
    const reply = await ask();
    expect(reply.status).toBe(200);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(JSON.parse(reply.text)).toEqual({
      status: 'healthy',
      target: proxy.target,
      targetStatus: status,
    });
    expect(asked).toEqual(['GET /api/v1/models']);
  });

  test('a slash at the end of the target is not doubled', async () => {
    const { asked, ask } = await checkOf((_req, res) => res.end(), '/api/v1/');
    await ask();
    expect(asked).toEqual(['GET /api/v1/models']);
  });

  test.each([500, 503, 508])('a target that answers %d is unhealthy', async (status) => {
    const { ask } = await checkOf((_req, res) => res.writeHead(status).end());
    const reply = await ask();
    expect(reply.status).toBe(503);
    expect(JSON.parse(reply.text)).toMatchObject({
      status: 'unhealthy',
      reason: `The target answered with status ${status}.`,
    });
  });

  test('a target that does not answer in time is unhealthy', async () => {
    const { ask } = await checkOf(() => {});
    const reply = await ask();
    expect(reply.status).toBe(503);
    expect(JSON.parse(reply.text)).toMatchObject({
      status: 'unhealthy',
      reason: 'The target did not answer within 0.2 s.',
    });
  });

  test('a target that is not there is unhealthy, and the reason says why', async () => {
    const { ask, target } = await checkOf(() => {});
    await target.close();
    const reply = await ask();
    expect(reply.status).toBe(503);
    expect(JSON.parse(reply.text)).toMatchObject({
      status: 'unhealthy',
      reason: 'The target could not be reached: ECONNREFUSED.',
    });
  });

  test('a body that does not end is not waited for', async () => {
    const { ask } = await checkOf((_req, res) => void res.writeHead(200).write('{'));
    expect((await ask()).status).toBe(200);
  });

  test('those who ask at the same time share one question', async () => {
    const { asked, ask } = await checkOf((_req, res) => setTimeout(() => res.end(), 50));
    const replies = await Promise.all([ask(), ask(), ask()]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(asked).toHaveLength(1);
  });

  test('a good answer holds for a while, a bad one for a shorter one', async () => {
    let status = 503;
    const { asked, ask } = await checkOf((_req, res) => res.writeHead(status).end());
    expect((await ask()).status).toBe(503);
    status = 200;
    expect((await ask()).status).toBe(503);
    expect(asked).toHaveLength(1);
    await sleep(LIMITS.unhealthyMs + 30);
    expect((await ask()).status).toBe(200);
    status = 503;
    await sleep(LIMITS.unhealthyMs + 30);
    expect((await ask()).status).toBe(200);
    expect(asked).toHaveLength(2);
    await sleep(LIMITS.healthyMs);
    expect((await ask()).status).toBe(503);
    expect(asked).toHaveLength(3);
  });

  test('while draining it is unhealthy and asks nobody, also when it began in between', async () => {
    const { asked, ask, proxy } = await checkOf((_req, res) => {
      proxy.draining = true;
      res.end();
    });
    const draining = { status: 'unhealthy', reason: 'draining' };
    const first = await ask();
    expect([first.status, JSON.parse(first.text)]).toEqual([503, draining]);
    const second = await ask();
    expect([second.status, JSON.parse(second.text)]).toEqual([503, draining]);
    expect(asked).toHaveLength(1);
  });

  test('the server’s own asks the stand-in, without a key', async () => {
    const { origin, standIn } = await startTestServer({
      VENICE_API_KEY: 'key-of-the-operator',
    });
    expect((await send(`${origin}/ready`)).status).toBe(200);
    expect(standIn.calls).toMatchObject([{ method: 'GET', url: '/api/v1/models' }]);
    expect(standIn.calls[0]?.headers.authorization).toBeUndefined();
  });
});
