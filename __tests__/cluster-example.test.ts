import { expect, test } from '@jest/globals';
import request from 'supertest';
import { createApp } from '../examples/cluster.ts';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInVenice } from '../examples/stand-in-venice.ts';
import { startProgram } from './helpers/program.ts';
import type { Env, Program } from './helpers/program.ts';
import { describeWithRedis, startRedis } from './helpers/redis.ts';
import type { TestRedis } from './helpers/redis.ts';
import { CHAT, closeAfterTest, deserted } from './helpers/scene.ts';
import { listen, send } from './helpers/serve.ts';

async function startStandIn(): Promise<{ venice: StandInVenice; target: string }> {
  const venice = createStandInVenice({ tokenDelayMs: 20 });
  closeAfterTest(() => venice.close());
  return { venice, target: await venice.listen() };
}

/** Two workers, unless the environment says otherwise; ended after the test. */
function start(env: Env): Program {
  const program = startProgram(process.execPath, ['dist/examples/cluster.js'], {
    PORT: '0',
    WORKERS: '2',
    ...env,
  });
  closeAfterTest(() => {
    program.kill('SIGTERM');
    return program.ended;
  });
  return program;
}

async function baseUrl(program: Program): Promise<string> {
  const [, port] = await program.printed(/2 workers are listening on [^}]*port: (\d+)/);
  return `http://127.0.0.1:${port}/api/v1`;
}

test('the app of a worker forwards', async () => {
  const { venice, target } = await startStandIn();
  const { app } = createApp({ target });
  await request(app)
    .post('/api/v1/chat/completions')
    .set('authorization', 'Bearer key')
    .send(CHAT)
    .expect(200, /Tell me of the sea/);
  expect(venice.calls).toHaveLength(1);
});

test('the workers serve without a Redis, too', async () => {
  const { target } = await startStandIn();
  const REDIS_URL = deserted().replace('http', 'redis');
  const program = start({ OPENAI_BASE_URL: target, REDIS_URL });
  const url = await baseUrl(program);
  await program.printed(/worker \d: Redis: .*ECONNREFUSED/);
  expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
});

test('a port that is in use ends it, and no worker is tried for ever', async () => {
  const other = await listen(() => {});
  closeAfterTest(() => other.close());
  const REDIS_URL = deserted().replace('http', 'redis');
  const program = start({ PORT: new URL(other.origin).port, REDIS_URL });
  expect(await program.ended).toBe(1);
  expect(program.output).toContain('EADDRINUSE');
});

test('a number of workers that is none is refused', async () => {
  const program = start({ WORKERS: 'many' });
  expect(await program.ended).toBe(1);
  expect(program.output).toContain('WORKERS is not a number of workers');
});

async function startBoth(env: Env = {}): Promise<{
  redis: TestRedis;
  venice: StandInVenice;
  program: Program;
  url: string;
}> {
  const redis = await startRedis();
  closeAfterTest(() => redis.close());
  const { venice, target } = await startStandIn();
  const program = start({ OPENAI_BASE_URL: target, REDIS_URL: redis.url, ...env });
  return { redis, venice, program, url: await baseUrl(program) };
}

describeWithRedis('over a Redis', () => {
  test('every worker is connected, and what they know is in it', async () => {
    const { redis, url } = await startBoth();
    await redis.clients(2);
    expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
    expect(await redis.command('KEYS', 'venice-proxy:*')).toContain(CHAT.model);
  });

  test('SIGTERM lets a stream end, then all workers end and leave Redis', async () => {
    const { redis, venice, program, url } = await startBoth();
    const body = { ...CHAT, stream: true, x_words: 30 };
    const streaming = send(`${url}/chat/completions`, { body });
    await venice.arrived(1);
    program.kill('SIGTERM');
    const { complete, text } = await streaming;
    expect(complete).toBe(true);
    expect(text).toContain('data: [DONE]');
    expect(await program.ended).toBe(0);
    await redis.clients(0);
  });

  test('a worker that dies is replaced', async () => {
    const tellPid = 'if (process.connected) console.log(`pid ${process.pid}.`)';
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(tellPid)}`;
    const { redis, program, url } = await startBoth({ NODE_OPTIONS });
    const [, pid] = await program.printed(/pid (\d+)\./);
    process.kill(Number(pid), 'SIGKILL');
    await program.printed(/(?:pid \d+\.[^]*){3}/);
    await redis.clients(2);
    expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
  });
});
