import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Request, Response } from 'express';
import type { AnswerTransform } from './answer-transform.ts';
import { pathBehindMount, shownPath } from './client-path.ts';
import type { ProxyError } from './errors.ts';
import { single } from './headers.ts';
import type { HeldBytes } from './held-bytes.ts';
import { callHook } from './hooks.ts';
import type { AnswerEvent, Outcome, RequestEvent, RequestInfo } from './hooks.ts';
import type { Refusals } from './learned-params.ts';
import type { OllamaCall } from './ollama/ollama-calls.ts';
import type { Config } from './options.ts';
import { Patience } from './patience.ts';
import type { Open, Phase, ProxyState, RequestState } from './proxy-state.ts';
import type { ReplayClass } from './replay-policy.ts';
import { isRequestLogOn, logRequest } from './request-log.ts';
import { isTraceHeader } from './trace-headers.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/** Whatever a request is busy with and must drop at once when its client leaves. */
export interface Cancellable {
  /** @param reason - what the client is told, when it is the proxy that ends the request */
  cancel(reason?: ProxyError): void;
}

/** What a client hears that waits for a stream. */
export interface KeepAlive {
  /** Whether it has the head of a stream, although there is no answer yet. */
  readonly isHeadOut: boolean;
  stop(): void;
}

/** What a failed request's last answer says beside what the upstream wrote. */
export interface GivenUp {
  /** Milliseconds after which the same request may succeed, where the upstream said so. */
  readonly retryAfterMs: number | undefined;
  /** Whether the client's SDK should leave it at that: we tried already, or trying costs money. */
  readonly isFinal: boolean;
  /** Whether it is the model that has no capacity: another one may have some. */
  readonly isModelBusy: boolean;
}

/** The client's body, as the attempts can use it. */
export type CapturedBody =
  | { readonly kind: 'none' }
  /** Held whole: can be rewritten and sent any number of times. */
  | {
      readonly kind: 'held';
      readonly bytes: HeldBytes;
      /** Nobody has decoded it: its `Content-Encoding` still holds, and it cannot be rewritten. */
      readonly isEncoded: boolean;
      /** A body parser had turned it into text or values: it is UTF-8 now, whatever it was. */
      readonly isRespelt: boolean;
    }
  /** Streams through unread, once. */
  | { readonly kind: 'passthrough' };

/** One request on its way through the proxy: each step reads it and adds its part. */
export class RequestContext implements RequestInfo, Open {
  readonly id: string;
  readonly req: Request;
  readonly res: Response;
  readonly startedAt = performance.now();
  /** With the other sides: one thing is waited for at a time. */
  readonly patience = new Patience();

  readonly path: string;
  upstreamMethod: string;
  upstreamPath = '';
  route = '';
  replayClass: ReplayClass = 'refused-only';
  body: CapturedBody = { kind: 'none' };
  /** What goes upstream is made of these. */
  clientHeaders: IncomingHttpHeaders;
  /** Some of a body that streams through has been read: it cannot be sent again. */
  bodyIsGone = false;
  model: string | undefined;
  /** The one that is asked in place of the one that the client named. */
  otherModel: string | undefined;
  stream = false;
  dropped: readonly string[] = [];
  /** Members of the body that may go, should the upstream refuse them. */
  refusable: Refusals | undefined;
  /** The client wants base64 and the upstream is asked for floats. */
  wantsBase64 = false;

  /** What is asked of Ollama's API, where the client speaks that. */
  ollama: OllamaCall | undefined;
  /** Makes another answer of the upstream's. */
  transform: AnswerTransform | undefined;

  /** When the client will have left by itself, as it says, by `performance.now()`. */
  leavesAt = Infinity;
  heartbeat: KeepAlive | undefined;
  /** What it is busy with; told to nobody who does not ask. */
  phase: Phase = 'receiving';
  attempts = 0;
  waitedMs = 0;
  /** When the wait began that is not over yet; 0: there is none. */
  #waitsSince = 0;
  answer: UpstreamAnswer | undefined;
  givenUp: GivenUp | undefined;
  /** The key that went upstream is the proxy's, not the client's. */
  hasOwnKey = false;
  /** What helps with the error that the client gets, beside what that says. */
  hint: string | undefined;

  firstByteAt: number | undefined;
  outcome: Outcome | undefined;
  code: string | undefined;

  place = 0;
  #info: RequestInfo | undefined;

  /** The client has gone: nothing may be begun for it any more. */
  left = false;
  /** Why the proxy ends the request by itself: nothing may be begun for it, either. */
  interruption: ProxyError | undefined;
  // A plain reference, no AbortSignal: a listener on a signal for each request makes so much work
  // for the garbage collector that the slowest percent of requests takes four times as long.
  busyWith: Cancellable | undefined;

  constructor(id: string, req: Request, res: Response) {
    this.id = id;
    this.req = req;
    this.res = res;
    this.path = shownPath(pathBehindMount(req));
    this.upstreamMethod = req.method;
    this.clientHeaders = req.headers;
  }

  get method(): string {
    return this.req.method;
  }

  /** Milliseconds until the client leaves by itself, unless it has the head of its answer. */
  get timeLeftMs(): number {
    return this.res.headersSent ? Infinity : this.leavesAt - performance.now();
  }

  /** @param since - by `performance.now()` */
  beginWait(phase: 'held' | 'backoff', since: number): void {
    this.phase = phase;
    this.#waitsSince = since;
  }

  /** Returns how many milliseconds it took. */
  endWait(): number {
    const tookMs = Math.round(performance.now() - this.#waitsSince);
    this.waitedMs += tookMs;
    this.#waitsSince = 0;
    return tookMs;
  }

  /** Waits for `delayMs`, or until the client leaves; tells which. */
  wait(delayMs: number): Promise<'waited' | 'left'> {
    if (this.left) return Promise.resolve('left');
    this.beginWait('backoff', performance.now());
    return new Promise((resolve) => {
      const end = (how: 'waited' | 'left'): void => {
        clearTimeout(timer);
        this.busyWith = undefined;
        this.endWait();
        resolve(how);
      };
      const timer = setTimeout(end, delayMs, 'waited');
      this.busyWith = { cancel: () => end('left') };
    });
  }

  /** What follows is the answer; tells whether its head is out already. */
  endHeartbeat(): boolean {
    this.heartbeat?.stop();
    return this.heartbeat?.isHeadOut === true;
  }

  /** Ends the request from this side. */
  interrupt(error: ProxyError): void {
    this.interruption ??= error;
    this.busyWith?.cancel(error);
  }

  /** The client's side is closed, in whichever way. */
  close(config: Config): void {
    if (!this.res.writableFinished) this.outcome ??= 'client_left';
    // Also when the answer has ended: it may not have been ours (a time limit of the app's, say),
    // and then something is still under way.
    this.left = true;
    this.heartbeat?.stop();
    this.busyWith?.cancel();
    this.patience.end();
    if (config.on.answer === undefined && !isRequestLogOn()) return;
    const event = this.#answerEvent();
    logRequest(event, this.hint);
    callHook(config.on.answer, event);
  }

  #answerEvent(): AnswerEvent {
    const since = (at: number): number => Math.round(at - this.startedAt);
    return {
      request: this.info(),
      status: this.res.headersSent ? this.res.statusCode : undefined,
      outcome: this.outcome ?? 'answered',
      code: this.code,
      attempts: this.attempts,
      waitedMs: this.waitedMs,
      firstByteMs: this.firstByteAt === undefined ? undefined : since(this.firstByteAt),
      totalMs: since(performance.now()),
      dropped: this.dropped,
    };
  }

  state(now: number): RequestState {
    const { phase, attempts, waitedMs } = this;
    const waitsMs = this.#waitsSince === 0 ? 0 : now - this.#waitsSince;
    return {
      ...this.info(),
      phase,
      attempts,
      waitedMs: Math.round(waitedMs + waitsMs),
      ageMs: Math.round(now - this.startedAt),
    };
  }

  /** What hooks may see of it: no bodies, no headers. */
  info(): RequestInfo {
    const { id, method, path, model, stream } = this;
    const told = this.#info;
    // All events of a request are told the same, once its body has been read.
    if (told !== undefined && told.model === model && told.stream === stream) return told;
    const info = { id, method, path, model, stream };
    this.#info = info;
    return info;
  }
}

function requestEvent(context: RequestContext): RequestEvent {
  const { headers } = context.req;
  return {
    request: context.info(),
    getTraceHeader: (name) =>
      isTraceHeader(name) ? single(headers[name.toLowerCase()]) : undefined,
  };
}

const waiting = new WeakMap<Socket, Set<() => void>>();

/** One listener for all requests of a connection: a client may send hundreds at once. */
function waitFor(socket: Socket, onClose: () => void): void {
  const listeners = waiting.get(socket) ?? new Set();
  if (!waiting.has(socket)) {
    waiting.set(socket, listeners);
    socket.once('close', () => {
      for (const each of listeners) each();
    });
  }
  listeners.add(onClose);
}

/** Gives the request its context, which hears of the client's departure. */
export function openContext(
  req: Request,
  res: Response,
  config: Config,
  state: ProxyState,
): RequestContext {
  const context = new RequestContext(state.nextRequestId(), req, res);
  state.enter(context);
  const { request } = config.on;
  if (request !== undefined) callHook(request, requestEvent(context));
  const { socket } = req;
  const close = (): void => {
    waiting.get(socket)?.delete(close);
    res.off('close', close);
    state.leave(context);
    context.close(config);
  };
  // Not `once`: Node would wrap it, and `close` takes itself off.
  res.on('close', close);
  // An answer that waits behind another one of its connection (pipelining) has no socket yet, and
  // does not hear of its end.
  if (res.socket === null) waitFor(socket, close);
  // It has left before it came to us: no event will tell.
  if (res.closed || res.destroyed || (res.socket === null && socket.destroyed)) close();
  return context;
}
