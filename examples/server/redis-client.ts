import type { SendCommand } from 'venice-proxy/redis';
import { member } from './error-reason.ts';
import type { RedisAddress } from './redis-address.ts';

/** A connection that is made again, for ever, whenever it breaks. */
export interface RedisClient {
  /** The package that it comes from. */
  readonly name: string;
  /** Rejects at once while there is no connection. */
  readonly sendCommand: SendCommand;
  /** Nothing more is heard of it. One that is just being made is left as soon as it stands. */
  close(): void;
}

/** What is to be heard of a connection. */
export interface RedisListener {
  /** Commands go through from now on. */
  readonly onReady: () => void;
  /** The connection broke or could not be made; told again at each attempt. */
  readonly onError: (error: unknown) => void;
}

const CONNECT_MS = 5_000;
/** A Redis that is silent for so long is taken for gone. */
const SILENCE_MS = 5_000;
const LONGEST_DELAY_MS = 2_000;
/** More commands than this wait only for a Redis that is silent. */
const MOST_WAITING = 10_000;

/**
 * Connects with `redis` or, where that is not installed, with `ioredis`. Does not wait for the
 * connection.
 *
 * @throws Error when neither is installed; its message is the command that helps
 */
export async function createRedisClient(
  address: RedisAddress,
  listener: RedisListener,
): Promise<RedisClient> {
  const nodeRedis = await installed('redis', () => import('redis'));
  if (nodeRedis !== undefined) return viaNodeRedis(nodeRedis, address, listener);
  const ioredis = await installed('ioredis', () => import('ioredis'));
  if (ioredis !== undefined) return viaIoredis(ioredis, address, listener);
  throw new Error('REDIS_URL needs a Redis client: npm install redis');
}

/** A package, or `undefined` where it is not installed; one that is broken throws. */
async function installed<Package>(
  name: string,
  load: () => Promise<Package>,
): Promise<Package | undefined> {
  try {
    return await load();
  } catch (error) {
    const isMissing =
      member(error, 'code') === 'ERR_MODULE_NOT_FOUND' &&
      String(member(error, 'message')).startsWith(`Cannot find package '${name}'`);
    if (isMissing) return undefined;
    throw error;
  }
}

function reconnectDelayMs(attempt: number): number {
  return Math.min(LONGEST_DELAY_MS, 50 * 2 ** attempt);
}

function viaNodeRedis(
  { createClient }: Pick<typeof import('redis'), 'createClient'>,
  address: RedisAddress,
  { onReady, onError }: RedisListener,
): RedisClient {
  const { host, port, username, password, database, tls } = address;
  let isClosed = false;
  const socket = {
    host,
    port,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    reconnectStrategy: (attempt: number) => (isClosed ? false : reconnectDelayMs(attempt)),
  };
  const client = createClient({
    socket: tls ? { ...socket, tls } : socket,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    database,
    // Numbers and text are all that is sent; servers before Redis 6 know nothing newer.
    RESP: 2,
    disableOfflineQueue: true,
    commandsQueueMaxLength: MOST_WAITING,
    // So that silence means something.
    pingInterval: SILENCE_MS / 2,
  });
  // Not `close`, which newer releases have: it waits for replies, which a silent Redis owes.
  const leave = (): void => void client.disconnect().catch(() => {});
  client.on('ready', () => (isClosed ? leave() : onReady()));
  client.on('error', (error) => {
    if (!isClosed) onError(error);
  });
  // Rejects only when it is closed before it was ever there.
  client.connect().catch(() => {});
  return {
    name: 'redis',
    sendCommand: (command) => client.sendCommand([...command]),
    close() {
      isClosed = true;
      // Left while it is being made, a connection would be made nonetheless, and stay.
      if (client.isReady) leave();
    },
  };
}

function viaIoredis(
  { Redis }: Pick<typeof import('ioredis'), 'Redis'>,
  address: RedisAddress,
  { onReady, onError }: RedisListener,
): RedisClient {
  const { host, port, username, password, database, tls } = address;
  const client = new Redis({
    host,
    port,
    username,
    password,
    db: database,
    ...(tls ? { tls: {} } : {}),
    protocol: 2,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    retryStrategy: reconnectDelayMs,
    enableOfflineQueue: false,
    // A step that was under way when the connection broke must not be made again later: nobody
    // would use what it grants.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
  client.on('ready', onReady).on('error', onError);
  return {
    name: 'ioredis',
    sendCommand: ([name, ...args]) => client.call(name, ...args),
    close() {
      client.off('error', onError).on('error', () => {});
      client.disconnect();
    },
  };
}
