import { BlockList, isIP } from 'node:net';
import { redisAddress } from './redis-address.ts';
import type { RedisAddress } from './redis-address.ts';
import { SERVER_VARIABLES } from './variables.ts';
import type { Env } from './variables.ts';

/**
 * Who sees the status page: nobody, whoever is on this machine, who has an entry key, or whoever can
 * connect.
 */
export type StatusAccess = 'nobody' | 'this machine' | 'key' | 'everyone';

/** The server's own settings; those of the proxy are `VeniceProxyOptions`. */
export interface ServerSettings {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** `/`, or a path that begins with a slash and does not end with one. */
  readonly pathPrefix: string;
  /** Empty: everyone may enter. */
  readonly entryKeys: readonly string[];
  /** Empty: none; `['*']`: all. */
  readonly corsOrigins: readonly string[];
  readonly logFormat: 'pretty' | 'json';
  /** Namespaces that the user wants to see, in the syntax of `debug`. */
  readonly debug: string;
  readonly shutdownGraceMs: number;
  /** So many connections may be open at once. */
  readonly maxConnections: number;
  /** So long the head of a request may take to come. */
  readonly headersTimeoutMs: number;
  /** The same for a whole request, its body included; not less. */
  readonly requestTimeoutMs: number;
  /** Where processes share what they know of the rate limits. */
  readonly redis?: RedisAddress | undefined;
  /** The operator's key is lent to whoever is on this machine: web pages are kept out. */
  readonly guardsLentKey: boolean;
  readonly statusAccess: StatusAccess;
  /** Whether `/metrics` is answered. */
  readonly hasMetrics: boolean;
}

/** What decides beside the environment. */
export interface Surroundings {
  /** Every request goes upstream with a key of the operator's. */
  readonly lendsKey: boolean;
  /** Somebody reads the log lines as they come. */
  readonly isTerminal: boolean;
}

/** As browsers write them in `Origin`: a scheme, a host, perhaps a port. */
const ORIGIN = /^[a-z][a-z\d+.-]*:\/\/[^/?#*\s@]+$/i;

const LONGEST_TIMER_S = 2_147_483;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * @throws TypeError that names the variable, its value (but never a secret) and what is allowed
 */
export function settingsFromEnv(env: Env, { lendsKey, isTerminal }: Surroundings): ServerSettings {
  const read = <Value>(
    name: keyof typeof SERVER_VARIABLES,
    parse: (name: string, text: string) => Value,
  ): Value => {
    const text = env[name]?.trim() ?? '';
    return parse(name, text === '' ? SERVER_VARIABLES[name].fallback : text);
  };
  const isOpenAllowed = read('ALLOW_OPEN_KEY', flag);
  const entryKeys = read('PROXY_API_KEYS', keys);
  const host = read('HOST', hostName);
  const settings: ServerSettings = {
    host,
    port: read('PORT', portNumber),
    pathPrefix: read('PROXY_PATH_PREFIX', pathPrefix),
    entryKeys,
    corsOrigins: read('CORS_ORIGIN', origins),
    logFormat: read('LOG_FORMAT', logFormat) ?? (isTerminal ? 'pretty' : 'json'),
    debug: read('DEBUG', (_name, text) => text),
    shutdownGraceMs: read('SHUTDOWN_GRACE', seconds),
    maxConnections: read('MAX_CONNECTIONS', count),
    headersTimeoutMs: read('HEADERS_TIMEOUT', limitInSeconds),
    requestTimeoutMs: read('REQUEST_TIMEOUT', limitInSeconds),
    redis: read('REDIS_URL', redisAddress),
    guardsLentKey: lendsKey && !isOpenAllowed && entryKeys.length === 0,
    statusAccess: statusAccess(read('STATUS_PAGE', optionalFlag), host, entryKeys),
    hasMetrics: read('METRICS', flag),
  };
  if (settings.guardsLentKey && !isLoopback(settings.host)) {
    throw new TypeError(
      `VENICE_API_KEY without PROXY_API_KEYS would lend your key to whoever reaches ` +
        `${settings.host}: set PROXY_API_KEYS, or HOST=127.0.0.1 (not in a container), or ` +
        'ALLOW_OPEN_KEY=1',
    );
  }
  const { headersTimeoutMs, requestTimeoutMs } = settings;
  if (requestTimeoutMs < headersTimeoutMs) {
    throw invalid(
      'REQUEST_TIMEOUT',
      `no less than \`HEADERS_TIMEOUT\` (${headersTimeoutMs / 1_000})`,
      JSON.stringify(String(requestTimeoutMs / 1_000)),
    );
  }
  return settings;
}

/** Where entry keys are set, nothing that is asked for is shown without one. */
function statusAccess(
  isWanted: boolean | undefined,
  host: string,
  entryKeys: readonly string[],
): StatusAccess {
  if (isWanted === false) return 'nobody';
  if (entryKeys.length > 0) return 'key';
  if (isWanted === true) return 'everyone';
  return isLoopback(host) ? 'this machine' : 'nobody';
}

/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return host.toLowerCase() === 'localhost';
  return LOOPBACK.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

function invalid(name: string, allowed: string, got: string): TypeError {
  return new TypeError(`Expected \`${name}\` to be ${allowed}, got ${got}`);
}

function hostName(name: string, text: string): string {
  if (isIP(text) !== 0 || /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(text)) return text;
  throw invalid(name, 'an IP address or a host name', JSON.stringify(text));
}

function portNumber(name: string, text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw invalid(name, 'a whole number from 0 to 65535', JSON.stringify(text));
}

function pathPrefix(name: string, text: string): string {
  // Plain characters, so that Express reads no pattern into it.
  const isPlain = text === '/' || /^(\/[\w.~-]+)+\/?$/.test(text);
  const isTaken = /^\/(health|ready|status|metrics)\/?$/i.test(text);
  if (!isPlain || isTaken || text.split('/').some((part) => part === '.' || part === '..')) {
    throw invalid(
      name,
      'a path of letters, digits and -._~ such as /api/v1, but not /health, /ready, /status or /metrics',
      JSON.stringify(text),
    );
  }
  return text === '/' ? text : text.replace(/\/$/, '');
}

function keys(name: string, text: string): readonly string[] {
  const listed = items(text);
  // An empty key would let everyone in; whatever else is wrong, a secret is not repeated.
  if (listed.every((key) => /^[\x21-\x7e]+$/.test(key))) return listed;
  throw invalid(
    name,
    'keys of visible ASCII characters without white space, separated by commas',
    `a string of ${text.length} characters`,
  );
}

function origins(name: string, text: string): readonly string[] {
  // Scheme and host are case-insensitive; browsers write them in lower case.
  const listed = items(text.toLowerCase());
  if (text === '*' || listed.every((item) => ORIGIN.test(item))) return listed;
  throw invalid(
    name,
    '* or origins such as https://app.example, without a path or a slash at the end, ' +
      'separated by commas',
    JSON.stringify(text),
  );
}

function logFormat(name: string, text: string): 'pretty' | 'json' | undefined {
  if (text === '') return undefined;
  if (text === 'pretty' || text === 'json') return text;
  throw invalid(name, 'pretty or json', JSON.stringify(text));
}

function seconds(name: string, text: string): number {
  const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (value <= LONGEST_TIMER_S) return Math.round(value * 1_000);
  throw invalid(name, `seconds, from 0 to ${LONGEST_TIMER_S}`, JSON.stringify(text));
}

/** Zero would be none at all: a server that never lets go. */
function limitInSeconds(name: string, text: string): number {
  const ms = seconds(name, text);
  if (ms > 0) return ms;
  throw invalid(name, `seconds above 0, up to ${LONGEST_TIMER_S}`, JSON.stringify(text));
}

function count(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  throw invalid(name, 'a whole number from 1', JSON.stringify(text));
}

function flag(name: string, text: string): boolean {
  if (text === '0' || text === '1') return text === '1';
  throw invalid(name, '1 or 0', JSON.stringify(text));
}

function optionalFlag(name: string, text: string): boolean | undefined {
  return text === '' ? undefined : flag(name, text);
}

function items(text: string): readonly string[] {
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}
