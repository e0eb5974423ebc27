import { writeEarlyHead } from './answer-head.ts';
import { createLog } from './debug.ts';
import { describeError } from './errors.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import type { KeepAlive, RequestContext } from './request-context.ts';

const log = createLog('heartbeat');

/** Comments are skipped by every SSE client (HTML §9.2.6); an event with a name of ours is not. */
const COMMENT = ': venice-proxy is waiting for the upstream\n\n';

/** What these bring could not be put into events: bytes, or JSON that is wanted whole. */
const NEVER_EVENTS = /^\/(audio|embeddings|images?|video)(\/|$)/i;

/** From here on a client that waits for a stream hears something every `heartbeat`. */
export function startHeartbeat({ heartbeatMs }: Config): Step {
  return function startHeartbeatOf(context) {
    if (heartbeatMs === 0 || !context.stream || context.left) return;
    if (context.method !== 'POST' || NEVER_EVENTS.test(context.route)) return;
    // What is no stream of events has no comments.
    if (context.transform?.streamType !== undefined) return;
    context.heartbeat = new Heartbeat(context, heartbeatMs);
  };
}

/** Gives a client the head of a stream before there is an answer, then a comment at each beat. */
class Heartbeat implements KeepAlive {
  readonly #context: RequestContext;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout;
  #isHeadOut = false;

  constructor(context: RequestContext, everyMs: number) {
    this.#context = context;
    this.#everyMs = everyMs;
    // The client has heard nothing since it began to send its request.
    const firstMs = Math.max(0, context.startedAt + everyMs - performance.now());
    this.#timer = setTimeout(beat, firstMs, this);
  }

  get isHeadOut(): boolean {
    return this.#isHeadOut;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  beat(): void {
    const { res } = this.#context;
    // Somebody else has answered: a time limit of the app's, say.
    if (res.writableEnded || res.destroyed || (res.headersSent && !this.#isHeadOut)) return;
    if (!this.#isHeadOut) this.#sendHead();
    // Who does not read has enough to read.
    if (!res.writableNeedDrain) res.write(COMMENT);
    this.#timer = setTimeout(beat, this.#everyMs, this);
  }

  #sendHead(): void {
    const context = this.#context;
    writeEarlyHead(context);
    this.#isHeadOut = true;
    const afterMs = Math.round(performance.now() - context.startedAt);
    log('the client gets its head early', { id: context.id, model: context.model, afterMs });
  }
}

/** No closure for each request: nearly all of these timers never fire. */
function beat(heartbeat: Heartbeat): void {
  try {
    heartbeat.beat();
  } catch (error) {
    // What of the app listens for the head (`on-headers`, say) may throw, and nobody above would
    // catch it. The answer meets it again, where it can be told.
    log('no head could be sent early', { cause: describeError(error) });
  }
}
