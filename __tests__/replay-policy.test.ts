import { describe, expect, test } from '@jest/globals';
import { causeOfStatus, reasonAgainstReplay, replayClassOf } from '../lib/replay-policy.ts';
import type { FailureCause, ReplayQuestion } from '../lib/replay-policy.ts';

// A record, so that a cause that is forgotten here does not compile.
const CAUSES = Object.keys({
  unsent: true,
  stale: true,
  refused: true,
  failed: true,
  lost: true,
  timeout: true,
  final: true,
} satisfies Record<FailureCause, true>) as readonly FailureCause[];

function question(method: string, route: string, cause: FailureCause): ReplayQuestion {
  return {
    replayClass: replayClassOf(method, route),
    cause,
    bodyAtHand: true,
    shouldRetry: undefined,
  };
}

/** The causes after which the request may be sent again. */
function replayedAfter(method: string, route: string): readonly FailureCause[] {
  return CAUSES.filter(
    (cause) => reasonAgainstReplay(question(method, route, cause)) === undefined,
  );
}

const WHENEVER: readonly FailureCause[] = ['unsent', 'stale', 'refused', 'failed', 'lost'];

describe('what a repeated call costs decides the replay', () => {
  test.each([
    ['GET', '/models'],
    ['GET', '/api_keys'],
    ['GET', '/api_keys/rate_limits'],
    ['GET', '/billing/usage'],
    ['GET', '/image/styles'],
    ['GET', '/crypto/rpc/networks'],
    ['GET', '/x402/balance'],
    ['GET', ''],
    ['HEAD', '/models'],
    ['OPTIONS', '/chat/completions'],
    ['POST', '/chat/completions'],
    ['POST', '/responses'],
    ['POST', '/embeddings'],
    ['POST', '/video/quote'],
    ['POST', '/audio/quote'],
    ['POST', '/video/retrieve'],
    ['POST', '/audio/retrieve'],
    ['POST', '/augment/search'],
    ['POST', '/augment/scrape'],
    ['POST', '/augment/text-parser'],
  ])('%s %s is replayed after all but a timeout', (method, route) => {
    expect(replayedAfter(method, route)).toEqual(WHENEVER);
  });

  test.each([
    ['POST', '/image/generate'],
    ['POST', '/images/generations'],
    ['POST', '/image/edit'],
    ['POST', '/image/multi-edit'],
    ['POST', '/image/upscale'],
    ['POST', '/image/background-remove'],
    ['POST', '/video/queue'],
    ['POST', '/audio/queue'],
    ['POST', '/audio/speech'],
    ['POST', '/audio/transcriptions'],
    ['POST', '/video/transcriptions'],
    ['POST', '/audio/voices'],
    ['POST', '/never/heard/of'],
    ['POST', ''],
    ['POST', '/chat/completions/x'],
    ['POST', '/x/chat/completions'],
    ['POST', '/responses/x'],
    ['POST', '/augment'],
    ['POST', '/video/quotes'],
    ['PUT', '/chat/completions'],
    ['PATCH', '/anything'],
    ['DELETE', '/anything'],
    ['BREW', '/coffee'],
  ])('%s %s is replayed only when nothing was done', (method, route) => {
    expect(replayedAfter(method, route)).toEqual(['unsent', 'refused']);
  });

  test.each([
    ['POST', '/x402/top-up'],
    ['POST', '/crypto/rpc'],
    ['POST', '/crypto/rpc/ethereum-mainnet'],
    ['POST', '/crypto/rpc/x/quote'],
    ['POST', '/api_keys'],
    ['POST', '/api_keys/generate_web3_key'],
    ['POST', '/api_keys/retrieve'],
    ['PATCH', '/api_keys'],
    ['DELETE', '/api_keys'],
    ['DELETE', '/api_keys/x'],
  ])('%s %s is replayed only when it never left', (method, route) => {
    expect(replayedAfter(method, route)).toEqual(['unsent']);
  });

  test.each(['/api_keys_of_others', '/crypto/rpcs', '/x402/top-up/x'])(
    'a route that only begins like a guarded one is not guarded: %s',
    (route) => {
      expect(replayedAfter('POST', route)).toEqual(['unsent', 'refused']);
    },
  );
});

describe('a status', () => {
  test.each<[number, FailureCause]>([
    [429, 'refused'],
    [503, 'refused'],
    [408, 'failed'],
    [500, 'failed'],
    [502, 'failed'],
    [520, 'failed'],
    [521, 'failed'],
    [522, 'failed'],
    [523, 'failed'],
    [524, 'failed'],
    [504, 'timeout'],
  ])('of %i counts as %s', (status, cause) => {
    expect(causeOfStatus(status)).toBe(cause);
  });

  test('of any other number is final', () => {
    const retryable = new Set([408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524]);
    const others = Array.from({ length: 500 }, (_, i) => i + 100).filter((s) => !retryable.has(s));
    expect(others.filter((status) => causeOfStatus(status) !== 'final')).toEqual([]);
  });
});

describe('the reason against a replay', () => {
  const free = question('GET', '/models', 'lost');
  const billed = question('POST', '/image/generate', 'refused');
  const guarded = question('POST', '/x402/top-up', 'refused');

  test.each<[string | undefined, ReplayQuestion]>([
    [undefined, free],
    [undefined, billed],
    ['the answer is final', { ...free, cause: 'final' }],
    ['the upstream may still be at work on it', { ...free, cause: 'timeout' }],
    ['it is billed by the call and may have been done', { ...billed, cause: 'failed' }],
    ['it is billed by the call and may have been done', { ...billed, cause: 'lost' }],
    ['this route is never replayed', guarded],
    ['its body streamed through and is gone', { ...free, bodyAtHand: false }],
    ['the upstream says x-should-retry: false', { ...free, shouldRetry: 'false' }],
  ])('is told: %j', (reason, asked) => {
    expect(reasonAgainstReplay(asked)).toBe(reason);
  });

  test.each(CAUSES)('stands whatever the cause when the body is gone: %s', (cause) => {
    expect(reasonAgainstReplay({ ...free, cause, bodyAtHand: false })).toBeDefined();
    expect(reasonAgainstReplay({ ...billed, cause, bodyAtHand: false })).toBeDefined();
  });

  test.each(CAUSES)('stands whatever the cause with x-should-retry: false: %s', (cause) => {
    expect(reasonAgainstReplay({ ...free, cause, shouldRetry: 'false' })).toBeDefined();
  });

  test.each(['true', '', '1', 'maybe'])('is not touched by x-should-retry: %j', (shouldRetry) => {
    expect(reasonAgainstReplay({ ...free, shouldRetry })).toBeUndefined();
    expect(reasonAgainstReplay({ ...free, cause: 'final', shouldRetry })).toBeDefined();
    expect(reasonAgainstReplay({ ...free, cause: 'timeout', shouldRetry })).toBeDefined();
    expect(reasonAgainstReplay({ ...guarded, shouldRetry })).toBeDefined();
  });
});
