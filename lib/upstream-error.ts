import { meaningOf } from './error-status.ts';
import { isObject, parseJson } from './json-value.ts';
import { firstComplaint } from './named-field.ts';
import type { NamedField } from './named-field.ts';

/** What an error of the upstream says, whichever of its shapes it has. */
export interface UpstreamError {
  /** In the upstream's own words where it has some, else what the status means. */
  readonly message: string;
  /** The upstream's own where its body has OpenAI's shape, else by status. */
  readonly type: string;
  /** As the upstream wrote it, such as `MODEL_OVERLOADED`. */
  readonly code: string | undefined;
  /** The field of the request that it names first. */
  readonly field: NamedField | undefined;
  /** Whether an OpenAI SDK finds `message`, `type` and `code` in it as it is. */
  readonly isOpenAiShaped: boolean;
  /** Whether the body, but for white space around it, is JSON. */
  readonly isJson: boolean;
}

/** A text that is no JSON may be anything, a whole page: so much of it is a message. */
const LONGEST_TEXT = 1_000;

/**
 * Reads the body of an error (docs.venice.ai, error codes; other shapes have been seen): text,
 * `{"error":"…"}` with or without `code`, `details`, `issues` or `request_id`, an x402 object,
 * OpenAI's `{"error":{…}}`, a page of Cloudflare's, or nothing. It never throws.
 *
 * @param status - 400 and up
 * @param text - the body, decoded; may be cut off
 */
export function readUpstreamError(
  status: number,
  contentType: string | undefined,
  text: string,
): UpstreamError {
  const trimmed = text.trim();
  const { type, message } = meaningOf(status);
  const nothing: UpstreamError = {
    message,
    type,
    code: undefined,
    field: undefined,
    isOpenAiShaped: false,
    isJson: false,
  };
  if (trimmed === '') return nothing;
  const value = parseJson(trimmed);
  if (value === undefined) {
    return isReadable(trimmed, contentType) ? { ...nothing, message: shortened(trimmed) } : nothing;
  }
  if (isObject(value)) return { ...nothing, ...readObject(value, message, type), isJson: true };
  const said = typeof value === 'string' && value !== '' ? value : message;
  return { ...nothing, message: said, isJson: true };
}

type Read = Omit<UpstreamError, 'isJson'>;

function readObject(body: Record<string, unknown>, fallback: string, type: string): Read {
  const { error } = body;
  if (isObject(error)) return readErrorObject(error, body, fallback, type);
  const complaint = firstComplaint(body);
  const parts = [error, body['message'] ?? body['detail'], aboutField(complaint)];
  const said = [...new Set(parts.filter((part) => typeof part === 'string' && part !== ''))];
  return {
    message: said.length === 0 ? fallback : said.join(': '),
    type,
    code: codeIn(body),
    field: complaint?.field,
    isOpenAiShaped: false,
  };
}

function readErrorObject(
  error: Record<string, unknown>,
  body: Record<string, unknown>,
  fallback: string,
  type: string,
): Read {
  const { message, param } = error;
  const isOpenAiShaped = typeof message === 'string';
  const said = isOpenAiShaped ? message : error['detail'];
  return {
    message: typeof said === 'string' && said !== '' ? said : fallback,
    type: typeof error['type'] === 'string' ? error['type'] : type,
    code: codeIn(error) ?? codeIn(body),
    field:
      typeof param === 'string' && param !== ''
        ? { name: param, isTopLevel: !/[.[]/.test(param), problem: 'other' }
        : firstComplaint({ ...body, error: message })?.field,
    isOpenAiShaped,
  };
}

/** A complaint that names its field by itself, or with the name in front. */
function aboutField(complaint: ReturnType<typeof firstComplaint>): string {
  if (complaint === undefined) return '';
  const { field, text } = complaint;
  if (field === undefined || field.problem === 'unknown' || text === '') return text;
  return `${field.name}: ${text}`;
}

function codeIn(body: Record<string, unknown>): string | undefined {
  const { code } = body;
  if (typeof code === 'number') return String(code);
  return typeof code === 'string' && code !== '' ? code : undefined;
}

/** Neither markup nor the bytes of something else. */
function isReadable(text: string, contentType: string | undefined): boolean {
  if (/^\s*(text|application)\/(html|xhtml\+xml|xml)\b/i.test(contentType ?? '')) return false;
  return !/^<(!doctype|html|head|body|\?xml)/i.test(text) && !/[\0\ufffd]/.test(text);
}

function shortened(text: string): string {
  if (text.length <= LONGEST_TEXT) return text;
  return `${text.slice(0, LONGEST_TEXT).toWellFormed()}…`;
}
