import { decodeBeginning } from './decode-body.ts';
import { hintFor } from './error-hints.ts';
import type { HintedAnswer } from './error-hints.ts';
import { single } from './headers.ts';
import type { KnownModels } from './known-models.ts';
import { normalizeError } from './normalize-error.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';
import { readUpstreamError } from './upstream-error.ts';

/** Errors that are longer when decoded, in bytes, stay as they are. */
const LONGEST_ERROR = 64 * 1024;

/** Adds to an error of the upstream what helps, and puts it into OpenAI's shape where wanted. */
export function explainErrors(config: Config, known: KnownModels | undefined): Step {
  return function explainErrorsOf(context) {
    const { answer } = context;
    if (answer === undefined || answer.status < 400 || context.left) return;
    const text = decodeBeginning(answer.joined, answer.headers['content-encoding']);
    context.hint = hintFor(hintedAnswer(context, answer, text, known));
    if (config.normalizeErrors && context.method !== 'HEAD') normalize(answer, text);
  };
}

function hintedAnswer(
  { method, route, stream, req, hasOwnKey, model }: RequestContext,
  answer: UpstreamAnswer,
  text: string,
  known: KnownModels | undefined,
): HintedAnswer {
  const { status, headers } = answer;
  let credentials: HintedAnswer['credentials'] = 'none';
  if (hasOwnKey) credentials = 'proxy';
  else if (req.headers.authorization !== undefined) credentials = 'client';
  else if (isWallet(req.headers)) credentials = 'wallet';
  return {
    route,
    stream,
    status,
    credentials,
    error: readUpstreamError(status, headers['content-type'], text),
    isEmpty: method !== 'HEAD' && answer.hasEnded && answer.collectedBytes === 0,
    isWindow: ['requests', 'tokens'].some(
      (kind) => single(headers[`x-ratelimit-remaining-${kind}`])?.trim() === '0',
    ),
    ray: single(headers['cf-ray']),
    nearestModels: known && (() => known.nearest(model ?? '')),
  };
}

function isWallet(headers: RequestContext['req']['headers']): boolean {
  return headers['sign-in-with-x'] !== undefined || headers['x-sign-in-with-x'] !== undefined;
}

function normalize(answer: UpstreamAnswer, text: string): void {
  if (!answer.hasEnded) return;
  // In a coding that nobody here knows, or much longer than it looked.
  const isUnreadable = text === '' && answer.collectedBytes > 0;
  if (isUnreadable || Buffer.byteLength(text) > LONGEST_ERROR) return;
  const normalized = normalizeError(answer.status, answer.headers['content-type'], text);
  if (normalized !== undefined) answer.replaceBody(normalized, 'application/json; charset=utf-8');
}
