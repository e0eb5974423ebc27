import { meaningOf } from './error-status.ts';
import { readUpstreamError } from './upstream-error.ts';

/**
 * An error of the upstream in OpenAI's shape, in which its SDKs find `message`, `type` and `code`;
 * what the upstream wrote stands in `error.upstream`: its JSON as it was, its text, or `null` for
 * nothing. `undefined` when it has that shape already.
 *
 * @param status - 400 and up
 * @param text - the body, decoded; may be cut off
 */
export function normalizeError(
  status: number,
  contentType: string | undefined,
  text: string,
): Buffer | undefined {
  const error = readUpstreamError(status, contentType, text);
  if (error.isOpenAiShaped) return undefined;
  const { message, type, field } = error;
  const code = error.code ?? meaningOf(status).code;
  const shape = JSON.stringify({ message, type, param: field?.name ?? null, code });
  const trimmed = text.trim();
  // JSON goes in as it came: numbers keep their digits, and no nesting is too deep to be written.
  const upstream = error.isJson ? trimmed : JSON.stringify(trimmed === '' ? null : text);
  return Buffer.from(`{"error":${shape.slice(0, -1)},"upstream":${upstream}}}`);
}
