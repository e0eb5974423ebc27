import { parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';
import type { VeniceProxyOptions } from './options.ts';
import {
  baseUrl,
  byteCount,
  durationMs,
  invalid,
  isBearerToken,
  memberNames,
  modelDefaults,
  waitMs,
  wholeNumber,
} from './validators.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Reads one variable's text; throws a TypeError that names the variable. */
type Read<Value> = (name: string, text: string) => Value;

/** Adds one option to the others where its variable is set. */
type AddOption = (options: VeniceProxyOptions, env: Env) => void;

const VARIABLES: readonly AddOption[] = [
  variable('OPENAI_BASE_URL', 'target', url),
  variable('TIMEOUT', 'timeout', seconds(durationMs, 'seconds, from 0.001 to 2147483')),
  variable('MAX_RETRIES', 'retries', count),
  variable('BASE_RETRY_DELAY', 'baseRetryDelay', wait()),
  variable('RATE_LIMIT_WAIT', 'rateLimitWait', wait()),
  variable('MAX_WAIT', 'maxWait', wait()),
  variable('RATE_LIMIT', 'rateLimit', oneOrZero),
  variable('MAX_QUEUE', 'maxQueue', count),
  variable('HEARTBEAT', 'heartbeat', wait()),
  variable('STORE_TIMEOUT', 'storeTimeout', seconds(durationMs, 'seconds, from 0.001 to 2147483')),
  variable('DROP_PARAMS', 'dropParams', names),
  variable('LEARN_PARAMS', 'learnParams', oneOrZero),
  variable('LEARNABLE_PARAMS', 'learnableParams', names),
  variable('MODELS', 'models', aliases),
  variable('DEFAULTS', 'defaults', defaults),
  variable('FALLBACKS', 'fallbacks', fallbacks),
  variable('NORMALIZE_ERRORS', 'normalizeErrors', oneOrZero),
  variable('OLLAMA', 'ollama', oneOrZero),
  variable('FORWARD_ADDRESS', 'forwardClientAddress', oneOrZero),
  variable('BODY_LIMIT', 'bodyLimit', byteCount),
  variable('VENICE_API_KEY', 'apiKey', key),
];

/**
 * The options that the environment gives, for `createVeniceProxy(optionsFromEnv())`:
 *
 * | variable | option | form |
 * |---|---|---|
 * | `OPENAI_BASE_URL` | `target` | URL |
 * | `TIMEOUT` | `timeout` | seconds |
 * | `MAX_RETRIES` | `retries` | whole number |
 * | `BASE_RETRY_DELAY` | `baseRetryDelay` | seconds |
 * | `RATE_LIMIT_WAIT` | `rateLimitWait` | seconds |
 * | `MAX_WAIT` | `maxWait` | seconds |
 * | `RATE_LIMIT` | `rateLimit` | `1` or `0` |
 * | `MAX_QUEUE` | `maxQueue` | whole number |
 * | `HEARTBEAT` | `heartbeat` | seconds |
 * | `STORE_TIMEOUT` | `storeTimeout` | seconds |
 * | `DROP_PARAMS` | `dropParams` | names separated by commas, or `none` |
 * | `LEARN_PARAMS` | `learnParams` | `1` or `0` |
 * | `LEARNABLE_PARAMS` | `learnableParams` | names separated by commas, or `none` |
 * | `MODELS` | `models` | `alias=model`, separated by commas, or `none` |
 * | `DEFAULTS` | `defaults` | a JSON object |
 * | `FALLBACKS` | `fallbacks` | `model=other\|another`, separated by commas, or `none` |
 * | `NORMALIZE_ERRORS` | `normalizeErrors` | `1` or `0` |
 * | `OLLAMA` | `ollama` | `1` or `0` |
 * | `FORWARD_ADDRESS` | `forwardClientAddress` | `1` or `0` |
 * | `BODY_LIMIT` | `bodyLimit` | bytes, or a size such as `50mb` |
 * | `VENICE_API_KEY` | `apiKey` | the key |
 *
 * A variable that is unset or empty is left out of the result; no other variable is read. Not for
 * an app whose own OpenAI SDK finds this very proxy through `OPENAI_BASE_URL`: the proxy would
 * forward to itself.
 *
 * @param env - where to read; the process's own environment unless told
 * @throws TypeError that names the variable, its value (but never a key) and what is allowed
 */
export function optionsFromEnv(env: Env = process.env): VeniceProxyOptions {
  const options: VeniceProxyOptions = {};
  for (const add of VARIABLES) add(options, env);
  return options;
}

function variable<Option extends keyof VeniceProxyOptions>(
  name: string,
  option: Option,
  read: Read<VeniceProxyOptions[Option]>,
): AddOption {
  return (options, env) => {
    const text = env[name]?.trim() ?? '';
    if (text !== '') options[option] = read(name, text);
  };
}

function url(name: string, text: string): string {
  baseUrl(name, text);
  return text;
}

function count(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return inWords(() => wholeNumber(name, value), name, 'a whole number, 0 or more', text);
}

function oneOrZero(name: string, text: string): boolean {
  if (text === '0' || text === '1') return text === '1';
  throw invalid(name, '1 or 0', text);
}

function wait(): Read<number> {
  return seconds(waitMs, 'seconds, from 0 to 2147483');
}

/** Seconds, as milliseconds. */
function seconds(check: (name: string, ms: number) => number, allowed: string): Read<number> {
  return (name, text) => {
    const isNumber = /^(\d+\.?\d*|\.\d+)$/.test(text);
    const ms = isNumber ? Math.round(Number(text) * 1_000) : Number.NaN;
    return inWords(() => check(name, ms), name, allowed, text);
  };
}

/** What the check of an option refuses is complained of in the variable's unit and as it stands. */
function inWords<Value>(check: () => Value, name: string, allowed: string, text: string): Value {
  try {
    return check();
  } catch {
    throw invalid(name, allowed, text);
  }
}

function names(name: string, text: string): readonly string[] {
  if (text.toLowerCase() === 'none') return [];
  const listed = text.split(',').map((item) => item.trim());
  // A comma too many is more likely a typing error than a parameter without a name.
  if (listed.includes('')) throw invalid(name, 'names separated by commas, or `none`', text);
  memberNames(name, listed);
  return listed;
}

function aliases(name: string, text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(pairs(name, text, 'pairs such as `gpt-4o=llama-3.3-70b`'));
}

function defaults(name: string, text: string): Readonly<Record<string, JsonObject>> {
  const allowed = 'a JSON object of objects, such as {"*":{"temperature":0.7}}';
  return inWords(
    () => Object.fromEntries(modelDefaults(name, parseJson(text)) ?? []),
    name,
    allowed,
    text,
  );
}

function fallbacks(name: string, text: string): Readonly<Record<string, readonly string[]>> {
  const what = 'pairs such as `model-a=model-b|model-c`';
  const lists = pairs(name, text, what).map(([model, others]) => {
    const listed = others.split('|').map((each) => each.trim());
    if (listed.includes('')) throw notPairs(name, what, text);
    return [model, listed] as const;
  });
  return Object.fromEntries(lists);
}

function notPairs(name: string, what: string, text: string): TypeError {
  return invalid(name, `${what}, separated by commas, or \`none\``, text);
}

/** `a=b,c=d`, where the part behind the sign may hold further ones (a model's features). */
function pairs(name: string, text: string, what: string): (readonly [string, string])[] {
  if (text.toLowerCase() === 'none') return [];
  return text.split(',').map((pair) => {
    const sign = pair.indexOf('=');
    const [left, right] = [pair.slice(0, Math.max(0, sign)).trim(), pair.slice(sign + 1).trim()];
    if (left === '' || right === '') throw notPairs(name, what, text);
    return [left, right] as const;
  });
}

function key(name: string, text: string): string {
  if (isBearerToken(text)) return text;
  // The value is a secret, or meant to be one: it is not repeated.
  throw new TypeError(
    `Expected \`${name}\` to be visible ASCII characters without white space, ` +
      `got a string of ${text.length} characters`,
  );
}
