import { member, reasonOf } from './error-reason.ts';

/** What the target said of itself. */
export type TargetFinding =
  | { readonly status: 'healthy'; readonly target: string; readonly targetStatus: number }
  | { readonly status: 'unhealthy'; readonly target: string; readonly reason: string };

/**
 * Asks `/models` of the target, which needs no key: it is healthy when it answers in time, but not
 * with 404, nor with 500 and more. Through `fetch`, not through the proxy: neither retried nor
 * counted.
 *
 * @param target - its base URL
 * @param answerMs - how long is waited for the answer, in milliseconds
 */
export async function askTarget(target: string, answerMs: number): Promise<TargetFinding> {
  const unhealthy = (reason: string): TargetFinding => ({ status: 'unhealthy', target, reason });
  try {
    const status = await statusOf(target, '/models', answerMs);
    if (status === 404) {
      return unhealthy('The target has no /models: does its base URL end with /api/v1?');
    }
    return status < 500
      ? { status: 'healthy', target, targetStatus: status }
      : unhealthy(`The target answered with status ${status}.`);
  } catch (error) {
    return unhealthy(
      member(error, 'name') === 'TimeoutError'
        ? `The target did not answer within ${answerMs / 1_000} s.`
        : `The target could not be reached: ${reasonOf(error)}.`,
    );
  }
}

/** Whether the target refuses a key where it looks at keys; one that cannot be asked refuses none. */
export async function isKeyRefused(
  target: string,
  key: string,
  answerMs: number,
): Promise<boolean> {
  const headers = { authorization: `Bearer ${key}` };
  try {
    return (await statusOf(target, '/api_keys/rate_limits', answerMs, headers)) === 401;
  } catch {
    return false;
  }
}

async function statusOf(
  target: string,
  route: string,
  answerMs: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const answer = await fetch(target.replace(/\/+$/, '') + route, {
    headers,
    redirect: 'manual',
    signal: AbortSignal.timeout(answerMs),
  });
  // What it says is long and nobody reads it.
  await answer.body?.cancel();
  return answer.status;
}
