import type { OutgoingHttpHeaders } from 'node:http';
import { createLog } from './debug.ts';
import { forModel, withFeaturesOf, withModel } from './model-names.ts';
import type { RequestContext } from './request-context.ts';

const log = createLog('fallback-models');

const BUSY = /MODEL_(AT_CAPACITY|OFFLINE|OVERLOADED)|\b(at capacity|offline|overloaded)\b/i;

/**
 * Whether a refusal says that the model has no capacity, or is offline: another one may have some.
 * The rate limit of a key is no reason.
 *
 * @param isWindow - the time at which a window or a block ends is known
 */
export function isModelBusy(status: number, text: string, isWindow: boolean): boolean {
  if (status === 503) return true;
  // Below 400 it is the first event of a stream that says it.
  return (status === 429 || status < 400) && !isWindow && BUSY.test(text);
}

/**
 * Asks for the model that the client wants and, as long as that is busy after its retries, for the
 * others in turn. Nothing of an answer has gone to the client by then.
 *
 * @param headers - those of the upstream call: the length is kept true
 * @param ask - leaves an answer in the context, or says in `givenUp` why there is none
 */
export async function askInTurn(
  context: RequestContext,
  headers: OutgoingHttpHeaders,
  fallbacks: ReadonlyMap<string, readonly string[]>,
  ask: () => Promise<void>,
): Promise<void> {
  const { body, model, dropped } = context;
  const isOurs = model !== undefined && body.kind === 'held' && !body.isEncoded;
  const others = isOurs ? (forModel(fallbacks, model) ?? []) : [];
  if (!isOurs || others.length === 0) return ask();
  let error: unknown = await failureOf(ask);
  for (const other of others) {
    if (context.givenUp?.isModelBusy !== true) break;
    context.answer?.discard();
    context.answer = undefined;
    context.givenUp = undefined;
    const next = withFeaturesOf(model, other);
    log('another model is asked', { id: context.id, model: context.model, next });
    // What the one before had refused, this one may take.
    const bytes = withModel(body.bytes, next);
    context.body = { ...body, bytes };
    context.dropped = dropped;
    headers['content-length'] = String(bytes.length);
    context.model = next;
    context.otherModel = next;
    // oxlint-disable-next-line no-await-in-loop -- each only where the one before is busy
    error = await failureOf(ask);
  }
  if (error !== undefined) throw error;
}

/** `undefined` where there is none. */
async function failureOf(ask: () => Promise<void>): Promise<unknown> {
  try {
    await ask();
    return undefined;
  } catch (error) {
    return error;
  }
}
