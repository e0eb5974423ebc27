import { describe, expect, test } from '@jest/globals';
import express from 'express';
import { ServerMetrics } from '../examples/server/metrics.ts';
import { createVeniceProxy } from '../lib/index.ts';
import { closeAfterTest } from './helpers/scene.ts';
import { listen, send } from './helpers/serve.ts';
import type { Sent } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';

const anonymous: Sent = { headers: { authorization: '' } };

describe('GET /metrics', () => {
  test('tells what the server has done', async () => {
    const { origin, url, proxy } = await startTestServer();
    expect((await send(`${origin}/metrics`, anonymous)).status).toBe(200);
    await send(`${url}/chat/completions`, { body: CHAT });
    // The end of a request is counted when its connection has heard of it.
    await until(() => proxy.inFlight === 0);
    const { text } = await send(`${origin}/metrics`, anonymous);
    expect(text).toContain(`route="/chat/completions",model="${CHAT.model}",status="200"`);
    expect(text).toMatch(/^venice_proxy_window_remaining\{/m);
  });

  test('asks for an entry key where there are some, in either place', async () => {
    const { origin } = await startTestServer({ PROXY_API_KEYS: 'mine' });
    const ask = async (headers: Sent['headers']): Promise<number> =>
      (await send(`${origin}/metrics`, { headers: { authorization: '', ...headers } })).status;
    expect(await ask({})).toBe(401);
    expect(await ask({ authorization: 'Bearer other' })).toBe(401);
    expect(await ask({ 'x-proxy-api-key': 'other' })).toBe(401);
    expect(await ask({ authorization: 'Bearer mine' })).toBe(200);
    expect(await ask({ 'x-proxy-api-key': 'mine' })).toBe(200);
  });

  test('is not for web pages where a key is lent', async () => {
    const { origin } = await startTestServer({ VENICE_API_KEY: 'lent', CORS_ORIGIN: '*' });
    expect((await send(`${origin}/metrics`, anonymous)).status).toBe(200);
    const headers = { origin: 'https://page.example' };
    expect((await send(`${origin}/metrics`, { headers })).status).toBe(403);
    const elsewhere = { host: 'page.example' };
    expect((await send(`${origin}/metrics`, { headers: elsewhere })).status).toBe(403);
  });

  test('may not be read by web pages', async () => {
    const { origin } = await startTestServer({ CORS_ORIGIN: '*' });
    const reply = await send(`${origin}/metrics`, { headers: { origin: 'https://page.example' } });
    expect(reply.headers).not.toHaveProperty('access-control-allow-origin');
  });

  test('is not there with METRICS=0', async () => {
    const { origin } = await startTestServer({ METRICS: '0' });
    expect((await send(`${origin}/metrics`)).status).toBe(404);
  });

  test('tells of what was over before the package was loaded, up to a thousand events', async () => {
    const metrics = new ServerMetrics();
    const { hooks } = metrics;
    const request = { id: '1', method: 'GET', path: '/models', model: undefined, stream: false };
    for (let attempt = 1; attempt <= 1_001; attempt += 1) {
      hooks.attemptEnd?.({ request, attempt, status: 200, failure: undefined, durationMs: 1 });
    }
    const running = await listen(express().get('/metrics', metrics.handler));
    closeAfterTest(() => running.close());
    void metrics.load(createVeniceProxy());
    const { text } = await send(`${running.origin}/metrics`);
    expect(text).toContain('venice_proxy_attempts_total{model="none",result="200"} 1000');
  });

  test('says what to install where the package is missing, and nothing is counted', async () => {
    const metrics = new ServerMetrics(false);
    expect(metrics.hooks).toEqual({});
    await metrics.load(createVeniceProxy());
    const running = await listen(express().get('/metrics', metrics.handler));
    closeAfterTest(() => running.close());
    const reply = await send(`${running.origin}/metrics`);
    expect(reply.status).toBe(501);
    expect(JSON.parse(reply.text)).toEqual({
      error: {
        message: expect.stringContaining('npm install prom-client'),
        type: 'server_error',
        param: null,
        code: 'metrics_unavailable',
      },
    });
  });
});
