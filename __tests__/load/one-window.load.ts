import { describe, expect, jest, test } from '@jest/globals';
import { PATIENCE_MS, chats, refusals, startAsUsersDo, withStatus } from './crowd.ts';

jest.setTimeout(PATIENCE_MS);

const TWENTY_PER_5_S = { requests: { limit: 20, windowMs: 5_000 } };
/** Two windows must pass until the last twenty may go. */
const IDEAL_MS = 10_000;

describe('60 at once behind 20 per 5 s, of which nothing is known', () => {
  test.each([
    ['ceil', 0],
    ['floor', 0],
    ['round', 0],
    ['ceil', 300],
    ['floor', 300],
    ['round', 300],
  ] as const)(
    'are all answered about when the limit allows it: resets rounded by %s, answers after %d ms',
    async (resetRounding, latencyMs) => {
      const scene = await startAsUsersDo({ ...TWENTY_PER_5_S, resetRounding, latencyMs });
      const crowd = await chats(60, scene);
      expect(withStatus(crowd, 200)).toBe(60);
      expect(crowd.tookMs).toBeLessThanOrEqual(1.05 * IDEAL_MS + 2_000);
      const refused = refusals(scene.venice);
      expect(refused.all).toBeLessThanOrEqual(2);
      expect(refused.block).toBe(0);
    },
  );

  test('are all answered within twice the time when no header tells the limit', async () => {
    const scene = await startAsUsersDo({ ...TWENTY_PER_5_S, headers: false });
    const crowd = await chats(60, scene);
    expect(withStatus(crowd, 200)).toBe(60);
    expect(crowd.tookMs).toBeLessThanOrEqual(2 * IDEAL_MS);
    expect(refusals(scene.venice).block).toBe(0);
  });
});
