import { createHash, randomBytes } from 'node:crypto';
import type { Ask, GateStore, Reply } from '../rate-gate/gate-store.ts';
import { invalid, refuseUnknownKeys } from '../validators.ts';
import { SCRIPT } from './script.ts';
import { decodeReply, encodeAsk } from './wire-format.ts';

/**
 * Sends one command and resolves with its reply, or rejects with the error that Redis answers.
 *
 * @param command - the command's name and its arguments
 * @param key - one of its keys, by which the client of a cluster finds the node; all are in one slot
 */
export type SendCommand = (
  command: readonly [name: string, ...args: string[]],
  key: string,
) => Promise<unknown>;

/** What `redisStore` takes. */
export interface RedisStoreOptions {
  /**
   * Passes a command to the client that you use:
   *
   * | client | `sendCommand` |
   * |---|---|
   * | node-redis | `(command) => client.sendCommand([...command])` |
   * | node-redis, cluster | `(command, key) => cluster.sendCommand(key, false, [...command])` |
   * | ioredis, iovalkey, also their clusters | `([name, ...args]) => client.call(name, ...args)` |
   *
   * The client should refuse commands while it is offline (node-redis: `disableOfflineQueue: true`;
   * ioredis: `enableOfflineQueue: false`), and needs a listener for `error`.
   */
  sendCommand: SendCommand;
  /**
   * What the names of all keys in Redis begin with. Processes share their windows when they have
   * the same prefix; braces are not allowed in it.
   * @defaultValue `'venice-proxy:'`
   */
  prefix?: string | undefined;
}

const DEFAULT_PREFIX = 'venice-proxy:';

const OPTION_NAMES: Readonly<Record<keyof RedisStoreOptions, true>> = {
  sendCommand: true,
  prefix: true,
};

const SHA = createHash('sha1').update(SCRIPT).digest('hex');

/**
 * Keeps the windows in Redis 5 and above or in Valkey, so that all processes that share an API key
 * have one view of them: `createVeniceProxy({ store: redisStore({ sendCommand }) })`. One round trip
 * a step; the keys expire, and those of one API key are in one slot of a cluster.
 *
 * @throws TypeError that names the option, its value and what is allowed
 */
export function redisStore(options: RedisStoreOptions): GateStore {
  refuseUnknownKeys('options', options, OPTION_NAMES, 'the options of redisStore');
  const { sendCommand, prefix = DEFAULT_PREFIX } = options;
  if (typeof sendCommand !== 'function') throw invalid('sendCommand', 'a function', sendCommand);
  // The braces of a key name its slot: with others before ours, `{}` above all, it would be another.
  if (typeof prefix !== 'string' || /[{}]/.test(prefix)) {
    throw invalid('prefix', 'a string without braces', prefix);
  }
  const processId = randomBytes(9).toString('base64url');

  async function step(ask: Ask): Promise<Reply> {
    const key = `${prefix}{${ask.key}}`;
    const args = ['2', key, `${key}:${ask.bucket}`, ...encodeAsk(ask, processId)];
    const reply = await sendCommand(['EVALSHA', SHA, ...args], key).catch((error: unknown) => {
      if (!isScriptMissing(error)) throw error;
      return sendCommand(['EVAL', SCRIPT, ...args], key);
    });
    return decodeReply(reply, ask.want);
  }

  return Object.freeze({ step });
}

/** Redis has restarted, or this node of a cluster sees the script for the first time. */
function isScriptMissing(error: unknown): boolean {
  // By its message, not by its class: each client has classes of its own.
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message).startsWith('NOSCRIPT')
    : false;
}
