import { changesEvents, changesJson } from './answer-transform.ts';
import type { AnswerTransform } from './answer-transform.ts';
import { createLog } from './debug.ts';
import { decodeBeginning, decodeBody, isKnownCoding } from './decode-body.ts';
import { ProxyError } from './errors.ts';
import { hasNoBody } from './headers.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';
import { readUpstreamError } from './upstream-error.ts';

const log = createLog('transform-answer');

/** Changes an answer that is held whole, where something wants it changed; streams: `EventRelay`. */
export function transformAnswer(context: RequestContext): Promise<void> | void {
  const { answer, transform } = context;
  if (transform === undefined || answer === undefined || context.left) return undefined;
  if (hasNoBody(context.method, answer.status)) return undefined;
  if (answer.status >= 400) {
    if (transform.error !== undefined) tellError(transform.error, answer);
    return undefined;
  }
  if (changesJson(context, answer)) return changeJson(context, answer);
  if (answer.status < 300 && !changesEvents(context, answer)) leaveUnchanged(context, answer);
  return undefined;
}

/** @throws ProxyError where the client has asked in a language of its own */
function leaveUnchanged({ transform }: RequestContext, answer: UpstreamAnswer): void {
  if (transform?.error === undefined) return;
  answer.discard();
  throw new ProxyError('upstream_invalid', 'The upstream sent a body that cannot be read.');
}

async function changeJson(context: RequestContext, answer: UpstreamAnswer): Promise<void> {
  const coding = codingOf(answer);
  const decoded =
    answer.hasEnded && isKnownCoding(coding) ? await decodeBody(answer.joined, coding) : 'too long';
  if (decoded === undefined || decoded === 'too long') {
    const { id, model } = context;
    leaveUnchanged(context, answer);
    log('an answer could not be read, it stays as it is', { id, model, coding });
    return;
  }
  const changed = await context.transform?.json?.(decoded);
  // The client may have left while it took its time: then the body is gone, and wanted by nobody.
  if (changed !== undefined && changed !== decoded && !context.left) answer.replaceBody(changed);
}

/** Of a long one only the beginning is there, which may be all that can be read of it. */
function tellError(tell: NonNullable<AnswerTransform['error']>, answer: UpstreamAnswer): void {
  const { status, headers } = answer;
  const text = decodeBeginning(answer.joined, codingOf(answer));
  const type = answer.replacedType ?? headers['content-type'];
  const { message, type: kind, field, code } = readUpstreamError(status, type, text);
  const error = { message, type: kind, param: field?.name ?? null, code: code ?? null, status };
  answer.replaceBody(tell(error), 'application/json; charset=utf-8');
}

function codingOf(answer: UpstreamAnswer): string | undefined {
  return answer.isReplaced ? undefined : answer.headers['content-encoding'];
}
