import { ProxyError } from '../errors.ts';
import { isObject } from '../json-value.ts';
import type { JsonObject } from '../json-value.ts';

// What a client or the upstream wrote: any member may be missing, or anything.

/** The object that is there; an empty one where there is none. */
export function objectIn(of: JsonObject, name: string): JsonObject {
  const value = of[name];
  return isObject(value) ? value : {};
}

/** The objects of a list; none where there is no list. */
export function objectsIn(of: JsonObject, name: string): readonly JsonObject[] {
  const value = of[name];
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** The text that is there; an empty one where there is none. */
export function textIn(of: JsonObject, name: string): string {
  const value = of[name];
  return typeof value === 'string' ? value : '';
}

/**
 * The same of what would be lost, were it anything else.
 * @throws ProxyError when it is
 */
export function optionalText(of: JsonObject, name: string): string {
  const value = of[name] ?? '';
  if (typeof value === 'string') return value;
  throw new ProxyError('invalid_body', `${name} is not a string`);
}

/**
 * The objects of a list that may be missing.
 * @throws ProxyError when it is anything else
 */
export function optionalObjects(of: JsonObject, name: string): readonly JsonObject[] {
  const value = of[name] ?? [];
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw new ProxyError('invalid_body', `${name} is not a list of objects`);
}

/** The same of texts. */
export function optionalTexts(of: JsonObject, name: string): readonly string[] {
  const value = of[name] ?? [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new ProxyError('invalid_body', `${name} is not a list of strings`);
}

/** The finite number that is there. */
export function numberIn(of: JsonObject, name: string): number | undefined {
  const value = of[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
