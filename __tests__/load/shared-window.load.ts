import path from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { createStandInVenice } from '../../examples/stand-in-venice.ts';
import type { StandInVenice } from '../../examples/stand-in-venice.ts';
import { ROOT, startProgram } from '../helpers/program.ts';
import { describeWithRedis, startRedis } from '../helpers/redis.ts';
import type { TestRedis } from '../helpers/redis.ts';
import { chat, closeAfterTest } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { PATIENCE_MS, atOnce, refusals, withStatus } from './crowd.ts';
import type { Crowd } from './crowd.ts';

jest.setTimeout(PATIENCE_MS);

const MAIN = path.join(ROOT, 'dist/examples/server/main.js');
const PROCESSES = 4;
const ALONE = 'this process goes on alone';
/** Two windows must pass until the last twenty may go. */
const IDEAL_MS = 10_000;

interface Replicas {
  readonly venice: StandInVenice;
  readonly redis: TestRedis;
  /** Sends as many chats as that at once, to one process after another. */
  readonly chats: (count: number) => Promise<Crowd>;
  /** How many of the processes have logged this. */
  readonly logged: (message: string) => number;
}

/** The bundled server several times, with one Redis, in front of a stand-in with 20 per 5 s. */
async function startReplicas(): Promise<Replicas> {
  const redis = await startRedis();
  closeAfterTest(() => redis.close());
  const venice = createStandInVenice({ requests: { limit: 20, windowMs: 5_000 }, tokenDelayMs: 1 });
  closeAfterTest(() => venice.close());
  const env = {
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_FORMAT: 'json',
    DEBUG: 'venice-proxy:rate-gate',
    OPENAI_BASE_URL: await venice.listen(),
    REDIS_URL: redis.url,
  };
  const programs = Array.from({ length: PROCESSES }, () => {
    const program = startProgram(process.execPath, [MAIN], env);
    closeAfterTest(() => {
      program.kill('SIGKILL');
      return program.ended;
    });
    return program;
  });
  const listening = programs.map((program) =>
    program.printed(/"message":"listening","url":"([^"]+)"/),
  );
  const urls = (await Promise.all(listening)).map(([, url = '']) => url);
  return {
    venice,
    redis,
    chats: (count) => atOnce(count, (n) => chat({ baseUrl: urls[n % PROCESSES] ?? '' })),
    logged: (message) => programs.filter(({ output }) => output.includes(message)).length,
  };
}

describeWithRedis('60 at once behind 20 per 5 s, over 4 processes that share Redis', () => {
  test('are all answered as by one process', async () => {
    const { venice, chats } = await startReplicas();
    const crowd = await chats(60);
    expect(withStatus(crowd, 200)).toBe(60);
    expect(crowd.tookMs).toBeLessThanOrEqual(1.05 * IDEAL_MS + 2_000);
    const refused = refusals(venice);
    expect(refused.all).toBeLessThanOrEqual(4);
    expect(refused.block).toBe(0);
  });

  test('are all answered when Redis dies and comes back in the middle', async () => {
    const { venice, redis, chats, logged } = await startReplicas();
    const served = (): number => venice.calls.filter(({ status }) => status === 200).length;
    const answered = chats(60);
    await until(() => served() >= 20);
    await redis.kill();
    // Some of the next window go without it.
    await until(() => served() > 20, PATIENCE_MS);
    await redis.restart();
    const crowd = await answered;
    expect(withStatus(crowd, 200)).toBe(60);
    expect(logged(ALONE)).toBeGreaterThan(0);
    // Whoever went on alone joins again when there is something to ask.
    expect(withStatus(await chats(PROCESSES), 200)).toBe(PROCESSES);
    await until(() => logged('the store is back') === logged(ALONE));
    expect(refusals(venice).block).toBe(0);
  });
});
