import type { RequestHandler } from 'express';
import type { VeniceProxy } from 'venice-proxy';
import { askTarget } from './ask-target.ts';
import type { TargetFinding } from './ask-target.ts';

/** How long is waited for the target, and how long what it said holds, in milliseconds. */
export interface ReadyLimits {
  readonly answerMs: number;
  readonly healthyMs: number;
  readonly unhealthyMs: number;
}

const LIMITS: ReadyLimits = { answerMs: 5_000, healthyMs: 5_000, unhealthyMs: 1_000 };

const DRAINING = { status: 'unhealthy', reason: 'draining' } as const;

/**
 * `GET /ready`: whether requests are likely to be served: 200 when the target answers within 5 s,
 * 503 with the reason when it does not, and while draining. What was found holds for 5 s (1 s when
 * it was bad), and whoever asks in the meantime shares it.
 */
export function createReadyCheck(
  proxy: Pick<VeniceProxy, 'target' | 'draining'>,
  limits: ReadyLimits = LIMITS,
): RequestHandler {
  let finding: Promise<TargetFinding> | undefined;

  async function ask(): Promise<TargetFinding> {
    const found = await askTarget(proxy.target, limits.answerMs);
    // Measured from the answer, as a slow one would otherwise be old when it comes.
    const forget = setTimeout(
      () => {
        finding = undefined;
      },
      found.status === 'healthy' ? limits.healthyMs : limits.unhealthyMs,
    );
    forget.unref();
    return found;
  }

  return async function readyCheck(_req, res): Promise<void> {
    const found = proxy.draining ? DRAINING : await (finding ??= ask());
    // It may have begun to drain while the target was asked.
    const body = proxy.draining ? DRAINING : found;
    res.setHeader('cache-control', 'no-store');
    res.status(body.status === 'healthy' ? 200 : 503).json(body);
  };
}
