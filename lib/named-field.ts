import { isObject } from './json-value.ts';

/** The field of a request that an error of the upstream's is about. */
export interface NamedField {
  /** With its path where it is nested: `messages.0.name`. Written by the upstream: may be anything. */
  readonly name: string;
  /** Whether it is a member of the request's own object. */
  readonly isTopLevel: boolean;
  /** `unknown`: the upstream has no such field; `null`: it wants a value, or none of it. */
  readonly problem: 'unknown' | 'null' | 'other';
}

/** What an error says of the first thing that is wrong with a request. */
export interface Complaint {
  readonly field: NamedField | undefined;
  readonly text: string;
}

/** So deep stands a field in `details` at most: the body may be anything. */
const DEEPEST = 10;

/**
 * The first complaint in an error's body: in `issues` and `details` as zod writes them, or in the
 * text of `error` as pydantic does.
 */
export function firstComplaint(body: Record<string, unknown>): Complaint | undefined {
  const issues: readonly unknown[] = Array.isArray(body['issues']) ? body['issues'] : [];
  const issue = issues.find(isObject);
  if (issue !== undefined) return complaintOfIssue(issue);
  return complaintInDetails(body['details']) ?? complaintInText(body['error']);
}

function complaintOfIssue(issue: Record<string, unknown>): Complaint {
  const text = typeof issue['message'] === 'string' ? issue['message'] : '';
  const path = names(issue['path']);
  const [key] = names(issue['keys']);
  if (issue['code'] === 'unrecognized_keys' && key !== undefined) {
    return { text, field: named([...path, key], 'unknown') };
  }
  const problem = issue['received'] === 'null' ? 'null' : problemIn(text);
  return { text, field: named(path, problem) };
}

function complaintInDetails(details: unknown): Complaint | undefined {
  const path: string[] = [];
  let current = details;
  while (isObject(current) && path.length <= DEEPEST) {
    const [text] = names(current['_errors']);
    if (text !== undefined) {
      const key = /^Unrecognized key\(s\) in object: '([^']+)'/.exec(text)?.[1];
      return key === undefined
        ? { text, field: named(path, problemIn(text)) }
        : { text, field: named([...path, key], 'unknown') };
    }
    const next = Object.entries(current).find(([name]) => name !== '_errors');
    if (next === undefined) return undefined;
    path.push(next[0]);
    current = next[1];
  }
  return undefined;
}

function complaintInText(error: unknown): Complaint | undefined {
  if (typeof error !== 'string') return undefined;
  const key = /^Extra inputs are not permitted, field: '([^']+)'/.exec(error)?.[1];
  return key === undefined ? undefined : { text: '', field: named([key], 'unknown') };
}

function problemIn(text: string): NamedField['problem'] {
  return /\breceived null$/.test(text) ? 'null' : 'other';
}

function named(path: readonly string[], problem: NamedField['problem']): NamedField | undefined {
  if (path.length === 0) return undefined;
  return { name: path.join('.'), isTopLevel: path.length === 1, problem };
}

function names(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value.filter((each) => typeof each === 'string' || typeof each === 'number').map(String);
}
