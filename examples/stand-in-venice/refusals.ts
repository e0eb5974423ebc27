import { binary, json } from './reply.ts';
import type { Reply } from './reply.ts';
import type { UnknownFieldShape } from './types.ts';

export const OVERLOADED = 'The model is currently overloaded. Please try again later.';

export const routeNotFound = (): Reply => json({ error: 'Route not found' }, 404);

export const authenticationFailed = (): Reply => json({ error: 'Authentication failed' }, 401);

export const rateLimitExceeded = (): Reply => json({ error: 'Rate limit exceeded' }, 429);

export const overloaded = (): Reply => json({ code: 'MODEL_OVERLOADED', error: OVERLOADED }, 429);

export const wrongContentType = (): Reply => json({ error: 'Invalid request content-type' }, 415);

export const mediaNotFound = (): Reply =>
  json({ error: 'Media could not be found. Request may be invalid, expired, or deleted.' }, 404);

export const payloadTooLarge = (): Reply =>
  json({ error: 'The request payload is too large. Please reduce the size of your request.' }, 413);

/** The body that says no more than why, as text (what Venice documents) or as JSON. */
export function tooManyFailures(
  failures: number,
  because: 'failures' | 'features',
  shape: 'text' | 'json' = 'text',
): Reply {
  const what =
    because === 'failures'
      ? 'resulting in a non-success status code'
      : 'asking for a feature that the model does not support';
  const text = `Too many failed attempts (> ${failures}) ${what}. Please wait 30s and try again.`;
  if (shape === 'json') return json({ error: text }, 429);
  return { ...binary('text/plain; charset=utf-8', Buffer.from(text)), status: 429 };
}

/** A refused member, or (without a field) a body that is not what the route takes. */
export function invalidRequest(problem: string, field?: string): Reply {
  const error = 'Invalid request parameters';
  if (field === undefined) return json({ error, details: { _errors: [problem] }, issues: [] }, 400);
  const details = { _errors: [], [field]: { _errors: [problem] } };
  const issues = [{ code: 'invalid_type', path: [field], message: problem }];
  return json({ error, details, issues }, 400);
}

export function nullField(field: string): Reply {
  const message = 'Expected number, received null';
  const issue = { code: 'invalid_type', expected: 'number', received: 'null', path: [field] };
  const body = {
    error: 'Invalid request parameters',
    details: { _errors: [], [field]: { _errors: [message] } },
    issues: [{ ...issue, message }],
  };
  return json(body, 400);
}

export function unknownField(field: string, shape: UnknownFieldShape): Reply {
  if (shape === 'extra') {
    const error = `Extra inputs are not permitted, field: '${field}', value: 'default'`;
    return json({ error, request_id: 'stand-in-request' }, 400);
  }
  const message = `Unrecognized key(s) in object: '${field}'`;
  const body = {
    error: 'Invalid request parameters',
    details: { _errors: [message] },
    issues: [{ code: 'unrecognized_keys', keys: [field], path: [], message }],
  };
  return json(body, 400);
}
