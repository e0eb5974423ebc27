import type { HeldBytes } from './held-bytes.ts';
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
export function modelIn(body: HeldBytes): string | undefined {
  return body.look((json) => {
    const last = findMembers(json, MODEL)?.at(-1);
    const value = last && scalarValue(json, last);
    return typeof value === 'string' ? value : undefined;
  });
}

/** The body with another `model`; every other byte stays. */
export function withModel(body: HeldBytes, model: string): HeldBytes {
  const members = body.look((json) => findMembers(json, MODEL)) ?? [];
  return body.edited(replaceValues(body.length, members, () => JSON.stringify(model)));
}
