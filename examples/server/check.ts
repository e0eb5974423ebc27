import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import { askTarget } from './ask-target.ts';
import { settingsFromEnv } from './settings.ts';
import type { Env } from './variables.ts';

const ANSWER_MS = 5_000;

/**
 * Would the server start as the environment says, and does its target answer? It listens nowhere.
 *
 * @returns one line that says so
 * @throws Error whose message says in one line what is wrong
 */
export async function check(env: Env): Promise<string> {
  const options = optionsFromEnv(env);
  settingsFromEnv(env, { lendsKey: options.apiKey !== undefined, isTerminal: false });
  const { target } = createVeniceProxy(options);
  const found = await askTarget(target, ANSWER_MS);
  if (found.status === 'unhealthy') throw new Error(`${target}: ${found.reason}`);
  return `The configuration is valid, and ${target} answers (status ${found.targetStatus}).`;
}
