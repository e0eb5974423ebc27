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

/** The strings of a list; none where there is no list. */
export function stringsIn(of: JsonObject, name: string): readonly string[] {
  const value = of[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** The text that is there; an empty one where there is none. */
export function textIn(of: JsonObject, name: string): string {
  const value = of[name];
  return typeof value === 'string' ? value : '';
}

/** The finite number that is there. */
export function numberIn(of: JsonObject, name: string): number | undefined {
  const value = of[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}
