import { reasonOf } from './error-reason.ts';
import { logServer } from './logs.ts';
import type { RedisAddress } from './redis-address.ts';
import { createRedisClient } from './redis-client.ts';
import type { RedisClient, RedisListener } from './redis-client.ts';

/**
 * Connects to Redis and logs when it goes and comes. Does not wait for it, as the proxy serves
 * without it, too.
 *
 * @throws Error whose message says in one line that no client is installed
 */
export async function openRedis(address: RedisAddress): Promise<RedisClient> {
  const { shown: redis } = address;
  let isAway = false;
  const client = await createRedisClient(address, {
    onReady() {
      isAway = false;
      logServer('Redis is there', { redis, client: client.name });
    },
    onError(error) {
      // Told once, not at each attempt to reach it again.
      if (!isAway) logServer('Redis is away', { redis, reason: reasonOf(error) });
      isAway = true;
    },
  });
  return client;
}

/**
 * Asks Redis once, over a connection of its own.
 *
 * @param answerMs - how long is waited for the answer, connecting included, in milliseconds
 * @returns what is wrong, as a sentence; `undefined` when it answers
 * @throws Error whose message says in one line that no client is installed
 */
export async function askRedis(
  address: RedisAddress,
  answerMs: number,
): Promise<string | undefined> {
  let onReady: RedisListener['onReady'] = ignore;
  let onError: RedisListener['onError'] = ignore;
  const connected = new Promise<void>((resolve, reject) => {
    onReady = resolve;
    onError = reject;
  });
  const client = await createRedisClient(address, { onReady, onError });
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, answerMs, `Redis did not answer within ${answerMs / 1_000} s.`);
  });
  try {
    const answered = connected.then(() => client.sendCommand(['PING'], '')).then(() => undefined);
    return await Promise.race([answered, patience]);
  } catch (error) {
    return `Redis could not be reached: ${reasonOf(error).replace(/\.$/, '')}.`;
  } finally {
    clearTimeout(timer);
    client.close();
  }
}

function ignore(): void {}
