import { createRequire } from 'node:module';
import type { Request, RequestHandler, Response } from 'express';
import type { ProxyHooks, VeniceProxy } from 'venice-proxy';
import type { Metrics } from 'venice-proxy/metrics';
import { reasonOf } from './error-reason.ts';
import { logServer } from './logs.ts';
import { sendError } from './send-error.ts';

const INSTALL = 'npm install prom-client';

/**
 * The metrics of the server, by a package that need not be there. It is loaded when the server
 * listens already: nobody waits for it at the start.
 */
export class ServerMetrics {
  readonly #isInstalled: boolean;
  #loading: Promise<void> | undefined;
  #metrics: Metrics | undefined;

  constructor(isInstalled: boolean = isPromClientInstalled()) {
    this.#isInstalled = isInstalled;
  }

  /** What happens before the package is there is not counted. */
  get hooks(): ProxyHooks {
    if (!this.#isInstalled) return {};
    return {
      attemptEnd: (event) => this.#metrics?.hooks.attemptEnd?.(event),
      retry: (event) => this.#metrics?.hooks.retry?.(event),
      hold: (event) => this.#metrics?.hooks.hold?.(event),
      drop: (event) => this.#metrics?.hooks.drop?.(event),
      usage: (event) => this.#metrics?.hooks.usage?.(event),
      answer: (event) => this.#metrics?.hooks.answer?.(event),
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
