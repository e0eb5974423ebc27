/** A JSON object: its values are strings, numbers, booleans, `null`, arrays and such objects. */
export type JsonObject = Record<string, unknown>;

/**
 * Whether a value is a JSON object: neither an array nor `null`.
 * @internal
 */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The value of a JSON text; `undefined` where it is none.
 * @internal
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
