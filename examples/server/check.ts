import { createServer } from 'node:net';
import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import { askTarget, isKeyRefused } from './ask-target.ts';
import { askRedis } from './redis.ts';
import { settingsFromEnv } from './settings.ts';
import type { ServerSettings } from './settings.ts';
import { listen } from './start-server.ts';
import type { Env } from './variables.ts';

const ANSWER_MS = 5_000;
const REDIS_ANSWER_MS = 2_000;

/**
 * Would the server start as the environment says, does its target answer and know the key that is
 * lent, and does Redis answer, where one is set? It listens for a moment, and takes no request.
 *
 * @returns one line that says so
 * @throws Error whose message says in one line what is wrong
 */
export async function check(env: Env): Promise<string> {
  const options = optionsFromEnv(env);
  const { apiKey } = options;
  const settings = settingsFromEnv(env, { lendsKey: apiKey !== undefined, isTerminal: false });
  const { redis } = settings;
  const { target } = createVeniceProxy(options);
  const [found, isRefused, complaint, portComplaint] = await Promise.all([
    askTarget(target, ANSWER_MS),
    typeof apiKey === 'string' && isKeyRefused(target, apiKey, ANSWER_MS),
    redis && askRedis(redis, REDIS_ANSWER_MS),
    tryToListen(settings),
  ]);
  const wrong = found.status === 'unhealthy' ? [`${target}: ${found.reason}`] : [];
  if (isRefused) wrong.push(`${target}: It does not know VENICE_API_KEY (status 401).`);
  if (redis !== undefined && complaint !== undefined) wrong.push(`${redis.shown}: ${complaint}`);
  if (portComplaint !== undefined) wrong.push(`${portComplaint}.`);
  if (found.status === 'unhealthy' || wrong.length > 0) throw new Error(wrong.join(' '));
  const answers = `${target} answers (status ${found.targetStatus})`;
  return redis === undefined
    ? `The configuration is valid, and ${answers}.`
    : `The configuration is valid, ${answers}, and so does Redis at ${redis.shown}.`;
}

/** @returns what is wrong; `undefined` when nothing is */
async function tryToListen(settings: ServerSettings): Promise<string | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    await listen(server, settings);
    server.close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
