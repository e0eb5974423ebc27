import type { RequestHandler } from 'express';
import { Registry } from 'prom-client';
import type { ProxyHooks } from '../hooks.ts';
import type { VeniceProxy } from '../proxy-state.ts';
import { countEvents } from './count-events.ts';
import { watchProxies } from './watch-proxies.ts';
import { ModelLabels } from './labels.ts';

/** What `createMetrics` takes. */
export interface MetricsOptions {
  /**
   * Where the metrics are registered, such as prom-client's own `register`.
   * @defaultValue a registry of their own
   */
  register?: Registry | undefined;
  /**
   * What every name begins with.
   * @defaultValue `'venice_proxy_'`
   */
  prefix?: string | undefined;
}

/** Metrics of one proxy, or of several together. */
export interface Metrics {
  /** For the option `on`, alone or in a list. */
  readonly hooks: ProxyHooks;
  /** Reads from this proxy, too, what is in flight and what is left of its windows. */
  readonly observe: (proxy: VeniceProxy) => void;
  /** Answers with the metrics of the registry, as Prometheus reads them. */
  readonly handler: RequestHandler;
}

/**
 * Counts what a proxy does, for Prometheus. Needs `prom-client`.
 *
 * @example
 * ```ts
 * const metrics = createMetrics();
 * const proxy = createVeniceProxy({ on: metrics.hooks });
 * metrics.observe(proxy);
 * app.get('/metrics', metrics.handler);
 * ```
 *
 * @throws Error when the registry has metrics of these names already
 */
export function createMetrics({
  register = new Registry(),
  prefix = 'venice_proxy_',
}: MetricsOptions = {}): Metrics {
  const models = new ModelLabels();
  const hooks = countEvents(register, prefix, models);
  const observe = watchProxies(register, prefix, models);

  const handler: RequestHandler = async function answerMetrics(_req, res, next): Promise<void> {
    try {
      const text = await register.metrics();
      res.setHeader('content-type', register.contentType);
      res.setHeader('cache-control', 'no-store');
      res.end(text);
    } catch (error) {
      // Express 4 does not look at what comes of a promise.
      next(error);
    }
  };
  return { hooks, observe, handler };
}
