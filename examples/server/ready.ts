import type { RequestHandler } from 'express';
import type { VeniceProxy } from 'venice-proxy';
import { member, reasonOf } from './error-reason.ts';

/** How long is waited for the target, and how long what it said holds, in milliseconds. */
export interface ReadyLimits {
  readonly answerMs: number;
  readonly healthyMs: number;
  readonly unhealthyMs: number;
}

const LIMITS: ReadyLimits = { answerMs: 5_000, healthyMs: 5_000, unhealthyMs: 1_000 };

interface Finding {
  readonly body: Readonly<Record<string, string | number>> & {
    readonly status: 'healthy' | 'unhealthy';
  };
  readonly holdsMs: number;
}

/**
 * `GET /ready`: whether requests are likely to be served. Asks `/models` of the target, which needs
 * no key: 200 when it answers within 5 s, but not with 404 or 500 and more; 503 with the reason else,
 * and while draining. What was found holds for 5 s (1 s when it was bad), and whoever asks in the
 * meantime shares it. The question goes out through `fetch`, not through the proxy: it is neither
 * retried nor counted.
 */
export function createReadyCheck(
  proxy: Pick<VeniceProxy, 'target' | 'draining'>,
  limits: ReadyLimits = LIMITS,
): RequestHandler {
  let finding: Promise<Finding> | undefined;

  async function ask(): Promise<Finding> {
    const found = await probe(proxy.target, limits);
    // Measured from the answer, as a slow one would otherwise be old when it comes.
    const forget = setTimeout(() => {
      finding = undefined;
    }, found.holdsMs);
    forget.unref();
    return found;
  }

  return async function readyCheck(_req, res): Promise<void> {
    const found = proxy.draining ? DRAINING : await (finding ??= ask());
    // It may have begun to drain while the target was asked.
    const { body } = proxy.draining ? DRAINING : found;
    res.setHeader('cache-control', 'no-store');
    res.status(body.status === 'healthy' ? 200 : 503).json(body);
  };
}

const DRAINING: Finding = { body: { status: 'unhealthy', reason: 'draining' }, holdsMs: 0 };

async function probe(target: string, limits: ReadyLimits): Promise<Finding> {
  const unhealthy = (reason: string): Finding => ({
    body: { status: 'unhealthy', target, reason },
    holdsMs: limits.unhealthyMs,
  });
  try {
    const answer = await fetch(`${target.replace(/\/+$/, '')}/models`, {
      redirect: 'manual',
      signal: AbortSignal.timeout(limits.answerMs),
    });
    const { status } = answer;
    // The list is long and nobody reads it.
    await answer.body?.cancel();
    if (status === 404) {
      return unhealthy('The target has no /models: its base URL may lack a path such as /api/v1.');
    }
    return status < 500
      ? { body: { status: 'healthy', target, targetStatus: status }, holdsMs: limits.healthyMs }
      : unhealthy(`The target answered with status ${status}.`);
  } catch (error) {
    return unhealthy(
      member(error, 'name') === 'TimeoutError'
        ? `The target did not answer within ${limits.answerMs / 1_000} s.`
        : `The target could not be reached: ${reasonOf(error)}.`,
    );
  }
}
