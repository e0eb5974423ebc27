import { types } from 'node:util';

/** An error's status, and the `type` under which OpenAI clients file it. */
interface ErrorRule {
  readonly status: number;
  readonly type: string;
}

/** Every error that is the proxy's own, by its code. */
export const PROXY_ERRORS = {
  invalid_body: { status: 400, type: 'invalid_request_error' },
  invalid_header: { status: 400, type: 'invalid_request_error' },
  invalid_path: { status: 400, type: 'invalid_request_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  request_timeout: { status: 408, type: 'invalid_request_error' },
  body_too_large: { status: 413, type: 'invalid_request_error' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error' },
  queue_full: { status: 429, type: 'rate_limit_error' },
  internal_error: { status: 500, type: 'server_error' },
  body_consumed: { status: 500, type: 'server_error' },
  api_key_unavailable: { status: 500, type: 'server_error' },
  not_implemented: { status: 501, type: 'invalid_request_error' },
  transfer_coding_unsupported: { status: 501, type: 'invalid_request_error' },
  upstream_unreachable: { status: 502, type: 'server_error' },
  upstream_disconnected: { status: 502, type: 'server_error' },
  upstream_invalid: { status: 502, type: 'server_error' },
  draining: { status: 503, type: 'server_error' },
  upstream_timeout: { status: 504, type: 'server_error' },
  loop_detected: { status: 508, type: 'invalid_request_error' },
} as const satisfies Record<string, ErrorRule>;

export type ProxyErrorCode = keyof typeof PROXY_ERRORS;

/** A failure that is told to the client, in words that are meant for it. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ProxyErrorCode;

  constructor(code: ProxyErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }

  get status(): number {
    return PROXY_ERRORS[this.code].status;
  }
}

/** How a broken connection is told; what came may also have been no HTTP at all. */
export function connectionError(cause: Error, message: string): ProxyError {
  const isGarbage = 'code' in cause && String(cause.code).startsWith('HPE_');
  return isGarbage
    ? new ProxyError('upstream_invalid', 'The upstream sent an answer that is not HTTP.', cause)
    : new ProxyError('upstream_disconnected', message, cause);
}

/** The client is silent in the middle of its body, be that held or streaming through. */
export function bodyStalled(idleMs: number): ProxyError {
  const after = seconds(idleMs);
  return new ProxyError('request_timeout', `Nothing more of the request's body came for ${after}.`);
}

/** Milliseconds, for people. */
export function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}

/** A wait in milliseconds as `Retry-After` tells it: whoever comes back then is not too early. */
export function retryAfterSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000));
}

/** What an error says beside what OpenAI's say; members that are `undefined` are left out. */
interface ErrorExtras {
  /** The status that the answer would have had. */
  readonly status?: number | undefined;
  /** In seconds. */
  readonly retry_after?: number | undefined;
}

/** What stands in `error`. */
export interface ErrorMembers extends ErrorExtras {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/**
 * The body of an error as the OpenAI API writes it, and as its SDKs read `message`, `type` and
 * `code` (https://platform.openai.com/docs/guides/error-codes).
 */
export function errorBody(code: ProxyErrorCode, message: string): string {
  return bodyOf(ownError(code, message));
}

/** The same as the last event of a stream: the one form that makes every OpenAI SDK raise an error. */
export function errorEvent(code: ProxyErrorCode, message: string, extras?: ErrorExtras): string {
  return eventOf({ ...ownError(code, message), ...extras });
}

/** Any error as the last event of a stream. */
export function eventOf(error: ErrorMembers): string {
  return `data: ${bodyOf(error)}\n\n`;
}

/** An error of ours as OpenAI's clients know errors. */
export function ownError(code: ProxyErrorCode, message: string): ErrorMembers {
  return { message, type: PROXY_ERRORS[code].type, param: null, code };
}

function bodyOf(error: ErrorMembers): string {
  return JSON.stringify({ error });
}

/** An error and its causes in one line: for logs, with whatever looks like a key masked. */
export function describeError(error: unknown, depth = 0): string {
  const parts: string[] = [];
  let current = error;
  while (isError(current) && parts.length < 5) {
    const message = current.message.replace(/\.(\)?)$/, '$1');
    // Our own codes have a field of their own in the log.
    const code = current instanceof ProxyError ? '' : String(current.code ?? '');
    const isNews = code !== '' && !message.includes(code);
    parts.push((message === '' ? current.name : message) + (isNews ? ` (${code})` : ''));
    // Happy Eyeballs: the reasons for each address stand in here, the message is empty.
    if (Array.isArray(current.errors) && depth < 3) {
      parts.push(current.errors.map((each) => describeError(each, depth + 1)).join('; '));
    }
    current = current.cause;
  }
  if (typeof current === 'string') parts.push(current);
  else if (current !== undefined && !isError(current))
    parts.push(Object.prototype.toString.call(current));
  return redact(parts.join(': '));
}

/** Not `instanceof`: what an app throws may come from another realm (a test runner's, say). */
export function isError(value: unknown): value is Error & {
  readonly code?: string | number;
  readonly errors?: unknown;
} {
  return types.isNativeError(value);
}

/** Masks credentials by what stands in front of them, and what has the shape of an API key. */
export function redact(text: string): string {
  return text
    .replace(/\b(Bearer|Basic)\s+\S+/gi, '$1 ***')
    .replace(/\b(x-(?:proxy-)?api-key\W+)\S+/gi, '$1***')
    .replace(/\/\/[^/\s@]*@/g, '//***@')
    .replace(/\b(sk|pk)[-_][\w-]{12,}/gi, '***')
    .replace(/\bvenice[-_](inference|admin)[-_]key[-_][\w-]+/gi, '***');
}
