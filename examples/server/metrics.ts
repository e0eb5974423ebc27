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
  readonly #early: ((hooks: ProxyHooks) => void)[] = [];

  constructor(isInstalled: boolean = isPromClientInstalled()) {
    this.#isInstalled = isInstalled;
  }

  get hooks(): ProxyHooks {
    if (!this.#isInstalled) return {};
    return {
      attemptEnd: (event) => this.#tell(event, (hooks, it) => hooks.attemptEnd?.(it)),
      retry: (event) => this.#tell(event, (hooks, it) => hooks.retry?.(it)),
      hold: (event) => this.#tell(event, (hooks, it) => hooks.hold?.(it)),
      drop: (event) => this.#tell(event, (hooks, it) => hooks.drop?.(it)),
      usage: (event) => this.#tell(event, (hooks, it) => hooks.usage?.(it)),
      answer: (event) => this.#tell(event, (hooks, it) => hooks.answer?.(it)),
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

  #tell<Event>(event: Event, how: (hooks: ProxyHooks, event: Event) => void): void {
    if (this.#metrics === undefined) this.#keep(event, how);
    else how(this.#metrics.hooks, event);
  }

  #keep<Event>(event: Event, how: (hooks: ProxyHooks, event: Event) => void): void {
    if (this.#early.length < MOST_EARLY) this.#early.push((hooks) => how(hooks, event));
  }

  async #load(proxy: VeniceProxy): Promise<void> {
    try {
      const { createMetrics } = await import('venice-proxy/metrics');
      const metrics = createMetrics();
      metrics.observe(proxy);
      this.#metrics = metrics;
      for (const tell of this.#early.splice(0)) tell(metrics.hooks);
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
