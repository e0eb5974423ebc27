/**
 * The code of a system error, such as `ECONNREFUSED`, also of one that `fetch` hides in the cause
 * of its own; the message of another one. Looks at members, not at classes: an error may come from
 * another realm.
 */
export function reasonOf(error: unknown): string {
  const cause = member(error, 'cause') ?? error;
  return String(member(cause, 'code') ?? member(cause, 'message') ?? cause);
}

/** A member of something that may be no object. */
export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
