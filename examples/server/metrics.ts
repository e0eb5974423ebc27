import { createRequire } from 'node:module';
import type { Request, RequestHandler, Response } from 'express';
import type { ProxyHooks, VeniceProxy } from 'venice-proxy';
import type { Metrics } from 'venice-proxy/metrics';
import { reasonOf } from './error-reason.ts';
import { logServer } from './logs.ts';
import { sendError } from './send-error.ts';

const INSTALL = 'npm install prom-client';
/** Events until the package is there. */
const MOST_EARLY = 1_000;

/**
 * The metrics of the server, by a package that need not be there. It is loaded when the server
 * listens already: nobody waits for it at the start.
 */
export class ServerMetrics {
  readonly #isInstalled: boolean;
  #loading: Promise<void> | undefined;
  #metrics: Metrics | undefined;
  readonly #early = new EarlyEvents();
  #hooks: ProxyHooks = this.#early.hooks;

  constructor(isInstalled: boolean = isPromClientInstalled()) {
    this.#isInstalled = isInstalled;
  }

  get hooks(): ProxyHooks {
    if (!this.#isInstalled) return {};
    return {
      attemptEnd: (event) => this.#hooks.attemptEnd?.(event),
      retry: (event) => this.#hooks.retry?.(event),
      hold: (event) => this.#hooks.hold?.(event),
      drop: (event) => this.#hooks.drop?.(event),
      usage: (event) => this.#hooks.usage?.(event),
      answer: (event) => this.#hooks.answer?.(event),
    };
  }

  load(proxy: VeniceProxy): Promise<void> {
    this.#loading ??= this.#isInstalled ? this.#load(proxy) : tellMissing();
    return this.#loading;
  }

  get handler(): RequestHandler {
    return (req, res, next) => {
      this.#answer(req, res, next).catch(next);
    };
  }

  async #load(proxy: VeniceProxy): Promise<void> {
    try {
      const { createMetrics } = await import('venice-proxy/metrics');
      const metrics = createMetrics();
      metrics.observe(proxy);
      this.#metrics = metrics;
      this.#early.tell(metrics.hooks);
      this.#hooks = metrics.hooks;
    } catch (error) {
      logServer('no metrics', { reason: reasonOf(error) });
    }
  }

  async #answer(req: Request, res: Response, next: (error?: unknown) => void): Promise<void> {
    await this.#loading;
    if (this.#metrics !== undefined) {
      await this.#metrics.handler(req, res, next);
      return;
    }
    sendError(
      res,
      501,
      'metrics_unavailable',
      `Metrics need a package that is not installed here: ${INSTALL}`,
    );
  }
}

/** Keeps the first events until there is somebody to be told. */
class EarlyEvents {
  readonly #kept: ((hooks: ProxyHooks) => void)[] = [];

  readonly hooks: ProxyHooks = {
    attemptEnd: (event) => this.#keep((hooks) => hooks.attemptEnd?.(event)),
    retry: (event) => this.#keep((hooks) => hooks.retry?.(event)),
    hold: (event) => this.#keep((hooks) => hooks.hold?.(event)),
    drop: (event) => this.#keep((hooks) => hooks.drop?.(event)),
    usage: (event) => this.#keep((hooks) => hooks.usage?.(event)),
    answer: (event) => this.#keep((hooks) => hooks.answer?.(event)),
  };

  tell(hooks: ProxyHooks): void {
    for (const tell of this.#kept.splice(0)) tell(hooks);
  }

  #keep(tell: (hooks: ProxyHooks) => void): void {
    if (this.#kept.length < MOST_EARLY) this.#kept.push(tell);
  }
}

function tellMissing(): Promise<void> {
  logServer('no metrics', { install: INSTALL });
  return Promise.resolve();
}

function isPromClientInstalled(): boolean {
  try {
    createRequire(import.meta.url).resolve('prom-client');
    return true;
  } catch {
    return false;
  }
}
