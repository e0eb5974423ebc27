import parseBytes from 'bytes';
import { closest, distance } from 'fastest-levenshtein';
import { isObject } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

// `setTimeout` turns a longer delay into 1 ms.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The complaint that every malformed option and variable gets: its name, what is allowed, the value. */
export function invalid(name: string, allowed: string, value: unknown): TypeError {
  return new TypeError(`Expected \`${name}\` to be ${allowed}, got ${show(value)}`);
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  if (value === null || typeof value !== 'object') return String(value);
  return Array.isArray(value) ? 'an array' : 'an object';
}

/** Refuses keys that `known` does not have, and names the nearest one that it has. */
export function refuseUnknownKeys(
  name: string,
  value: unknown,
  known: Readonly<Record<string, true>>,
  where = `\`${name}\``,
): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(name, 'an object', value);
  }
  const names = Object.keys(known);
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(known, key)) continue;
    const wanted = key.toLowerCase();
    const lowered = names.map((each) => each.toLowerCase());
    const nearest = names[lowered.indexOf(closest(wanted, lowered))] ?? '';
    const hint =
      distance(wanted, nearest.toLowerCase()) <=
      Math.min(Math.max(2, key.length / 3), key.length - 1)
        ? `did you mean \`${nearest}\`?`
        : `known are ${names.join(', ')}`;
    throw new TypeError(`Unknown key \`${key}\` in ${where}: ${hint}`);
  }
}

/** Milliseconds, more than 0, as a timer can take them. */
export function durationMs(name: string, value: unknown): number {
  if (typeof value !== 'number' || !(value > 0 && value <= LONGEST_TIMER_MS)) {
    throw invalid(name, `milliseconds, more than 0 and at most ${LONGEST_TIMER_MS}`, value);
  }
  return value;
}

/** Milliseconds, 0 allowed. */
export function waitMs(name: string, value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= LONGEST_TIMER_MS)) {
    throw invalid(name, `milliseconds, from 0 to ${LONGEST_TIMER_MS}`, value);
  }
  return value;
}

export function flag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false', value);
  return value;
}

export function wholeNumber(name: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(name, 'a whole number, 0 or more', value);
  }
  return value;
}

/** A number of bytes, or a string such as `'50mb'` (units b, kb, mb, gb; powers of 1024). */
export function byteCount(name: string, value: unknown): number {
  const isText = typeof value === 'string' && /^\d+(\.\d+)? ?(b|kb|mb|gb)?$/i.test(value.trim());
  const count = isText ? parseBytes(value.trim()) : value;
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 1) {
    throw invalid(name, "a number of bytes, 1 or more, or a string such as '50mb'", value);
  }
  return count;
}

/** Names of models, each with that of the one in its place; `undefined` for none. */
export function modelAliases(
  name: string,
  value: unknown,
): ReadonlyMap<string, string> | undefined {
  const allowed = "an object of names of models, such as { 'gpt-4o': 'llama-3.3-70b' }";
  const aliases = new Map<string, string>();
  for (const [alias, model] of entriesOf(name, allowed, value)) {
    if (alias === '' || typeof model !== 'string' || model === '') {
      throw invalid(`${name}[${JSON.stringify(alias)}]`, 'the name of a model', model);
    }
    aliases.set(alias, model);
  }
  return aliases.size === 0 ? undefined : aliases;
}

/** Names of models, each with those to be asked in its place; `undefined` for none. */
export function modelLists(
  name: string,
  value: unknown,
): ReadonlyMap<string, readonly string[]> | undefined {
  const allowed = "an object of lists of models, such as { 'model-a': ['model-b', 'model-c'] }";
  const lists = new Map<string, readonly string[]>();
  for (const [model, others] of entriesOf(name, allowed, value)) {
    const names: readonly unknown[] = Array.isArray(others) ? others : [];
    const fits = names.length > 0 && names.every((each) => typeof each === 'string' && each !== '');
    if (model === '' || !fits) {
      throw invalid(`${name}[${JSON.stringify(model)}]`, 'an array of names of models', others);
    }
    lists.set(model, names.map(String));
  }
  return lists.size === 0 ? undefined : lists;
}

/** Members of JSON bodies by names of models, or `*` for all of them; `undefined` for none. */
export function modelDefaults(
  name: string,
  value: unknown,
): ReadonlyMap<string, JsonObject> | undefined {
  const allowed = "an object of objects, such as { '*': { temperature: 0.7 } }";
  const defaults = new Map<string, JsonObject>();
  for (const [model, members] of entriesOf(name, allowed, value)) {
    const its = `${name}[${JSON.stringify(model)}]`;
    if (model === '' || !isObject(members)) throw invalid(its, 'an object of parameters', members);
    defaults.set(model, copyOf(its, members));
  }
  return defaults.size === 0 ? undefined : defaults;
}

/** As JSON would have it. */
function copyOf(name: string, members: JsonObject): JsonObject {
  for (const [member, value] of Object.entries(members)) {
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch {
      // A cycle, or a number that JSON does not know.
    }
    if (text === undefined) throw invalid(`${name}[${JSON.stringify(member)}]`, 'JSON', value);
  }
  const copy: JsonObject = JSON.parse(JSON.stringify(members));
  return copy;
}

function entriesOf(name: string, allowed: string, value: unknown): [string, unknown][] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value);
  }
  throw invalid(name, allowed, value);
}

/** The names of JSON members. */
export function memberNames(name: string, value: unknown): ReadonlySet<string> {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string' && item !== '')) {
    throw invalid(name, 'an array of names', value);
  }
  return new Set<string>(value);
}

/** An http or https URL to whose path the client's path can be appended. */
export function baseUrl(name: string, value: unknown): URL {
  const allowed =
    'an absolute http or https URL without credentials, query or fragment, ' +
    "such as 'https://api.venice.ai/api/v1'";
  const text = value instanceof URL ? value.href : value;
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  const fits =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.username + url.password === '' &&
    !/[?#]/.test(url.href);
  // Credentials, and queries that hold some, are not repeated, however garbled the rest may be.
  const shown =
    typeof text === 'string' ? text.replace(/[^/]*@/, '***@').replace(/\?.+/s, '?***') : text;
  if (!fits) throw invalid(name, allowed, shown);
  return url;
}

/** Whether a string may stand behind `Bearer ` (RFC 6750 §2.1 takes visible ASCII only). */
export function isBearerToken(value: string): boolean {
  return /^[\x21-\x7e]+$/.test(value);
}
