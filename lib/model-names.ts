import { findMembers, replaceValues, scalarValue } from './json-members.ts';

const MODEL: ReadonlySet<string> = new Set(['model']);

/** A model's id and its features: `llama-3.3-70b`, `enable_web_search=on`. */
function split(model: string): readonly [string, string | undefined] {
  const colon = model.indexOf(':');
  return colon === -1 ? [model, undefined] : [model.slice(0, colon), model.slice(colon + 1)];
}

/** What is kept for a model: under its whole name, or under its id without the features. */
export function forModel<Value>(map: ReadonlyMap<string, Value>, model: string): Value | undefined {
  return map.get(model) ?? map.get(split(model)[0]);
}

/** Another model, with the features that were asked of the first one. */
export function withFeaturesOf(model: string, other: string): string {
  const [, features] = split(model);
  if (features === undefined) return other;
  return `${other}${other.includes(':') ? '&' : ':'}${features}`;
}

/** The `model` of a JSON body; `undefined` where it names none. */
export function modelIn(json: Buffer): string | undefined {
  const last = findMembers(json, MODEL)?.at(-1);
  const value = last && scalarValue(json, last);
  return typeof value === 'string' ? value : undefined;
}

/** The body with another `model`; every other byte stays. */
export function withModel(json: Buffer, model: string): Buffer {
  const members = findMembers(json, MODEL) ?? [];
  return replaceValues(json, members, () => JSON.stringify(model));
}
