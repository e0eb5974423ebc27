import type { RequestHandler } from 'express';
import type { VeniceProxy } from './proxy-state.ts';
import { VERSION } from './version.ts';

/**
 * Answers `200 {"status":"healthy", …}` with the target, version, uptime, requests in flight and
 * what was last heard from the target. It tells that this process serves; it never asks the
 * upstream.
 *
 * @param proxy - what `createVeniceProxy` returned
 */
export function createHealthCheck(proxy: VeniceProxy): RequestHandler {
  const startedAt = performance.now();
  return function healthCheck(_req, res): void {
    const { target, inFlight, draining, lastHeard } = proxy;
    res.setHeader('cache-control', 'no-store');
    res.json({
      status: 'healthy',
      target,
      version: VERSION,
      uptime: Math.round((performance.now() - startedAt) / 1_000),
      inFlight,
      draining,
      lastHeard: lastHeard && { at: lastHeard.at.toISOString(), status: lastHeard.status },
    });
  };
}
