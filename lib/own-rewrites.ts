import { chainTransforms } from './answer-transform.ts';
import type { AnswerTransform } from './answer-transform.ts';
import { createLog } from './debug.ts';
import { ProxyError, describeError } from './errors.ts';
import { dataOfEvents } from './event-stream.ts';
import { HeldBytes } from './held-bytes.ts';
import type { RequestInfo } from './hooks.ts';
import { isObject, parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import type { RequestContext } from './request-context.ts';
import type { RewriteAnswer, RewriteEvent, RewriteRequest } from './rewrite-types.ts';
import { unlessEnded } from './unless-ended.ts';

const log = createLog('own-rewrites');

type Rewrites = Pick<Config, 'rewriteRequest' | 'rewriteAnswer' | 'rewriteEvent'>;

const NOTHING = Buffer.alloc(0);

/** The app's own changes to requests and answers; no step where it has none. */
export function ownRewrites(config: Config): readonly Step[] {
  const { rewriteRequest, rewriteAnswer, rewriteEvent } = config;
  const hasAny = [rewriteRequest, rewriteAnswer, rewriteEvent].some((each) => each !== undefined);
  return hasAny ? [(context) => rewriteAsToldBy(config, context)] : [];
}

function rewriteAsToldBy(rewrites: Rewrites, context: RequestContext): Promise<void> | void {
  const { rewriteRequest, rewriteAnswer, rewriteEvent } = rewrites;
  const own = new OwnTransform(rewrites, context);
  if (rewriteAnswer !== undefined || rewriteEvent !== undefined) {
    context.transform =
      context.transform === undefined ? own : chainTransforms(own, context.transform);
  }
  return rewriteRequest && changeRequest(rewriteRequest, context, own);
}

async function changeRequest(
  rewriteRequest: RewriteRequest,
  context: RequestContext,
  own: OwnTransform,
): Promise<void> {
  const { body } = context;
  if (body.kind !== 'held' || body.isEncoded) return;
  const parsed = parseJson(body.bytes.look(String));
  if (!isObject(parsed)) return;
  context.model = typeof parsed['model'] === 'string' ? parsed['model'] : undefined;
  context.stream = parsed['stream'] === true;
  const changing = bytesFrom(rewriteRequest, parsed, own.request);
  const bytes = await unlessEnded(context, changing);
  if (bytes === undefined) return;
  context.body = { ...body, bytes: new HeldBytes([bytes]), isRespelt: true };
}

/** What fails is not sent as it came: the change may be there to keep something back. */
async function bytesFrom(
  rewriteRequest: RewriteRequest,
  parsed: JsonObject,
  request: RequestInfo,
): Promise<Buffer | undefined> {
  try {
    return bytesOf(await rewriteRequest(parsed, request));
  } catch (error) {
    throw new ProxyError('internal_error', '`rewriteRequest` of this proxy failed.', error);
  }
}

/**
 * An answer may have been paid for: where a function of the app's fails, it goes on as it came.
 */
class OwnTransform implements AnswerTransform {
  readonly json: AnswerTransform['json'];
  readonly event: AnswerTransform['event'];
  readonly #context: RequestContext;
  #request: RequestInfo | undefined;

  constructor({ rewriteAnswer, rewriteEvent }: Rewrites, context: RequestContext) {
    this.#context = context;
    this.json =
      rewriteAnswer && ((body) => changeAnswer(rewriteAnswer, body, context, this.request));
    this.event = rewriteEvent && ((event) => changeEvent(rewriteEvent, event, this.request));
  }

  /** One object for all three: whoever keeps something for a request can keep it by this. */
  get request(): RequestInfo {
    this.#request ??= this.#context.info();
    return this.#request;
  }
}

async function changeAnswer(
  rewriteAnswer: RewriteAnswer,
  body: Buffer,
  context: RequestContext,
  request: RequestInfo,
): Promise<Buffer> {
  const parsed = parseJson(body.toString());
  if (!isObject(parsed)) return body;
  try {
    return bytesOf(await unlessEnded(context, rewriteAnswer(parsed, request))) ?? body;
  } catch (error) {
    logFailure('rewriteAnswer', request, error);
    return body;
  }
}

function changeEvent(rewriteEvent: RewriteEvent, event: Buffer, request: RequestInfo): Buffer {
  const text = event.toString();
  const parsed = parseJson(dataOfEvents(text)[0] ?? '');
  if (!isObject(parsed)) return event;
  try {
    const changed = rewriteEvent(parsed, request);
    if (changed === null) return NOTHING;
    const bytes = bytesOf(changed);
    return bytes === undefined ? event : withData(text, bytes.toString());
  } catch (error) {
    logFailure('rewriteEvent', request, error);
    return event;
  }
}

/** The event with other data; its type, id and comments stay. */
function withData(event: string, data: string): Buffer {
  const others = event
    .split(/\r\n|\n|\r/)
    .filter((line) => line !== '' && !/^data(:|$)/.test(line));
  return Buffer.from([...others, `data: ${data}`, '', ''].join('\n'));
}

function bytesOf(changed: unknown): Buffer | undefined {
  if (changed === undefined) return undefined;
  // Not `instanceof`: promises may come from another realm, or library.
  if (isObject(changed) && typeof changed['then'] === 'function') {
    Promise.resolve(changed).catch(() => {});
    throw new TypeError('A promise came back where nothing can be waited for');
  }
  if (!isObject(changed)) throw new TypeError('What came back is no JSON object');
  return Buffer.from(JSON.stringify(changed));
}

function logFailure(option: string, { id, model }: RequestInfo, error: unknown): void {
  const cause = describeError(error);
  log(`${option} failed, the answer goes on as it came`, { id, model, cause });
}
