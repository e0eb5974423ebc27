import { isObject, parseJson } from './json-value.ts';

/** What a 400 has against the members at the top level of a request's body. */
export interface RefusedFields {
  /** Members that the upstream does not know. */
  readonly unknown: ReadonlySet<string>;
  /** Members that must not be `null`. */
  readonly nulls: ReadonlySet<string>;
  /** Members with which something else is wrong; the empty name stands for the body as a whole. */
  readonly others: ReadonlySet<string>;
}

/** Pydantic's words, in front of the value, which is the client's and may say anything. */
const EXTRA_INPUT = /^Extra inputs are not permitted, field: '([^']+)'/;
/** Zod's words. */
const UNRECOGNIZED = /^Unrecognized key\(s\) in object: ('[^']+'(?:, '[^']+')*)$/;
const RECEIVED_NULL = /\breceived null$/i;

/**
 * Reads which members a 400 refuses, in the two shapes that Venice's have: a list of zod's, and one
 * sentence of pydantic's. Pure; never throws. Of a body that is cut off, or that it does not
 * understand, it finds nothing.
 *
 * @param text - the body without its `Content-Encoding`
 */
export function refusedFields(text: string): RefusedFields {
  const found = { unknown: new Set<string>(), nulls: new Set<string>(), others: new Set<string>() };
  const body = parseJson(text);
  if (!isObject(body)) return found;
  const { error, issues, details } = body;
  const sentence = isObject(error) ? error['message'] : error;
  const extra = typeof sentence === 'string' ? EXTRA_INPUT.exec(sentence)?.[1] : undefined;
  if (extra !== undefined) found.unknown.add(extra);
  if (Array.isArray(issues)) for (const issue of issues) readIssue(issue, found);
  if (isObject(details)) readDetails(details, found);
  // One list may know of a member what the other only hints at.
  for (const name of [...found.unknown, ...found.nulls]) found.others.delete(name);
  return found;
}

type Found = { readonly [Kind in keyof RefusedFields]: Set<string> };

function readIssue(issue: unknown, { unknown, nulls, others }: Found): void {
  if (!isObject(issue) || !Array.isArray(issue['path'])) return;
  const { code, keys, received, message } = issue;
  const path: readonly unknown[] = issue['path'];
  const name = path.length === 0 ? '' : String(path[0]);
  if (code === 'unrecognized_keys' && path.length === 0 && Array.isArray(keys)) {
    for (const key of keys) if (typeof key === 'string') unknown.add(key);
  } else if (code === 'invalid_type' && path.length === 1 && isNull(received, message)) {
    nulls.add(name);
  } else {
    others.add(name);
  }
}

function isNull(received: unknown, message: unknown): boolean {
  return received === 'null' || (typeof message === 'string' && RECEIVED_NULL.test(message));
}

/** What zod's `format()` makes of the issues: a tree along the body, with messages at its nodes. */
function readDetails(details: Record<string, unknown>, { unknown, nulls, others }: Found): void {
  // The issues tell names as they are, where these can be mistaken for several.
  const isTold = unknown.size > 0;
  for (const message of messagesOf(details)) {
    const names = UNRECOGNIZED.exec(message)?.[1];
    if (names === undefined) others.add('');
    else if (!isTold) for (const name of names.slice(1, -1).split("', '")) unknown.add(name);
  }
  for (const [name, node] of Object.entries(details)) {
    if (name === '_errors' || !isObject(node)) continue;
    const messages = messagesOf(node);
    const isLeaf = Object.keys(node).every((each) => each === '_errors');
    // One message for each type that the member may have.
    const saysNull = messages.length > 0 && messages.every((each) => RECEIVED_NULL.test(each));
    if (isLeaf && saysNull) nulls.add(name);
    else others.add(name);
  }
}

function messagesOf(node: Record<string, unknown>): readonly string[] {
  const messages = node['_errors'];
  return Array.isArray(messages) ? messages.filter((each) => typeof each === 'string') : [];
}
