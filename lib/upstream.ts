import type {
  ClientRequest,
  IncomingMessage,
  OutgoingHttpHeaders,
  ServerResponse,
} from 'node:http';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createProxyMiddleware } from 'http-proxy-middleware';
import type { Options } from 'http-proxy-middleware';
import type { Config } from './options.ts';

type ProxyServer = Parameters<NonNullable<Options['plugins']>[number]>[0];
type ProxyServerOptions = Parameters<ProxyServer['web']>[2];

/** What an attempt hears of its upstream call. */
export interface CallEvents {
  /** The call has a socket, which may not be connected yet; nothing has been written. */
  onRequest(request: ClientRequest): void;
  /** Time to write the body and end the request. */
  onBodyWanted(request: ClientRequest): void;
  onResponse(response: IncomingMessage): void;
  onError(error: Error): void;
}

/**
 * Stands in for the client's request in front of http-proxy-middleware. The real one cannot be
 * used twice: every attempt would leave listeners on it, and a body that was read is gone. These
 * members are all that http-proxy-middleware 4.2 and httpxy 0.5 touch; a test holds them to it.
 */
export class StandInRequest {
  readonly httpVersion = '1.1';
  readonly httpVersionMajor = 1;
  // Writable, so that a reset of the upstream's is not taken for one of the client's; without a
  // `server`, so that nothing is registered on the app's.
  readonly socket = { writable: true };
  readonly method: string;
  readonly url: string;
  readonly headers: OutgoingHttpHeaders;
  readonly events: CallEvents;

  constructor(method: string, url: string, headers: OutgoingHttpHeaders, events: CallEvents) {
    this.method = method;
    this.url = url;
    this.headers = headers;
    this.events = events;
  }

  on(): this {
    return this;
  }

  pipe(destination: ClientRequest): ClientRequest {
    this.events.onBodyWanted(destination);
    return destination;
  }
}

/**
 * Stands in for the answer to the client: says that it is none of http-proxy-middleware's business
 * (`finished`), and tells it when the call is over or to be given up.
 */
export class StandInAnswer {
  readonly headersSent = false;
  readonly finished = true;
  destroyed = false;
  writableFinished = false;
  #onClose: (() => void)[] = [];

  on(event: string, listener: () => void): this {
    if (event !== 'close') return this;
    if (this.destroyed) listener();
    else this.#onClose.push(listener);
    return this;
  }

  /** Destroys the upstream call, in whichever phase it is. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    for (const listener of this.#onClose.splice(0)) listener();
  }

  /** The call has ended by itself. */
  finish(): void {
    this.writableFinished = true;
    this.destroy();
  }
}

/** Makes upstream calls through http-proxy-middleware: the one place that knows it. */
export interface Upstream {
  /** @param isFresh - on a connection that nobody has used before */
  call(request: StandInRequest, answer: StandInAnswer, isFresh: boolean): void;
}

export function createUpstream(config: Config): Upstream {
  const kept = createCarrier(config, config.agent ?? createAgent(config));
  // On a kept connection a request can cross the upstream's goodbye, and then nobody knows whether
  // it was read. Where that matters, a handshake is cheaper.
  const fresh =
    config.agent === undefined ? createCarrier(config, createForgetfulAgent(config)) : kept;

  return {
    call(request, answer, isFresh) {
      const { server, options } = isFresh ? fresh : kept;
      // The stand-ins are neither an IncomingMessage nor a ServerResponse, on purpose. That they are
      // enough of one is what the contract test is for: types cannot tell.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      const [req, res] = [request, answer] as unknown as [IncomingMessage, ServerResponse];
      server.web(req, res, options).catch((error: unknown) => {
        request.events.onError(error instanceof Error ? error : new Error('the call was not made'));
      });
    },
  };
}

function eventsOf(request: unknown): CallEvents {
  if (request instanceof StandInRequest) return request.events;
  throw new TypeError('http-proxy-middleware speaks of a request that is not ours');
}

function createAgent({ target }: Config): HttpAgent {
  const Agent = target.protocol === 'https:' ? HttpsAgent : HttpAgent;
  return new Agent({
    keepAlive: true,
    maxSockets: Number.POSITIVE_INFINITY,
    maxFreeSockets: 256,
  });
}

/** Not by `keepAlive: false`: its `Connection: close` makes servers hang up on early answers. */
function createForgetfulAgent(config: Config): HttpAgent {
  const agent = createAgent(config);
  agent.maxFreeSockets = 0;
  return agent;
}

interface Carrier {
  readonly server: ProxyServer;
  readonly options: ProxyServerOptions;
}

/**
 * The proxy server of http-proxy-middleware, without the middleware in front of it: that would
 * parse the target and the path anew for each call, and match the path against a filter.
 */
function createCarrier(config: Config, agent: HttpAgent): Carrier {
  let server: ProxyServer | undefined;
  const options = {
    target: targetOf(config.target),
    changeOrigin: true,
    selfHandleResponse: true,
    agent,
  };
  createProxyMiddleware({
    ...options,
    // The default ones write to the real answer.
    ejectPlugins: true,
    plugins: [
      (theirs) => {
        server = theirs;
        theirs.on('proxyReq', (call, request) => eventsOf(request).onRequest(call));
        theirs.on('proxyRes', (response, request) => eventsOf(request).onResponse(response));
        theirs.on('error', (error, request) => {
          if (request !== undefined) eventsOf(request).onError(error);
        });
        theirs.on('econnreset', (error, request) => eventsOf(request).onError(error));
      },
    ],
  });
  if (server === undefined) throw new TypeError('http-proxy-middleware has no proxy server');
  return { server, options };
}

/** Plain values: those of a `URL` are computed each time that somebody looks. */
function targetOf({ protocol, host, hostname, port }: URL) {
  // `http.request` wants an IPv6 address without its brackets (RFC 3986 §3.2.2).
  return { protocol, host, hostname: hostname.replace(/^\[|\]$/g, ''), port };
}
