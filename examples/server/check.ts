import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import { askTarget } from './ask-target.ts';
import { askRedis } from './redis.ts';
import { settingsFromEnv } from './settings.ts';
import type { Env } from './variables.ts';

const ANSWER_MS = 5_000;
const REDIS_ANSWER_MS = 2_000;

/**
 * Would the server start as the environment says, and do its target and, where one is set, its Redis
 * answer? It listens nowhere.
 *
 * @returns one line that says so
 * @throws Error whose message says in one line what is wrong
 */
export async function check(env: Env): Promise<string> {
  const options = optionsFromEnv(env);
  const lendsKey = options.apiKey !== undefined;
  const { redis } = settingsFromEnv(env, { lendsKey, isTerminal: false });
  const { target } = createVeniceProxy(options);
  const [found, complaint] = await Promise.all([
    askTarget(target, ANSWER_MS),
    redis && askRedis(redis, REDIS_ANSWER_MS),
  ]);
  const wrong = found.status === 'unhealthy' ? [`${target}: ${found.reason}`] : [];
  if (redis !== undefined && complaint !== undefined) wrong.push(`${redis.shown}: ${complaint}`);
  if (found.status === 'unhealthy' || wrong.length > 0) throw new Error(wrong.join(' '));
  const answers = `${target} answers (status ${found.targetStatus})`;
  return redis === undefined
    ? `The configuration is valid, and ${answers}.`
    : `The configuration is valid, ${answers}, and so does Redis at ${redis.shown}.`;
}
