import { describe, expect, test } from '@jest/globals';
import { createPseudonym, isLoop } from '../lib/admit-request.ts';
import { VIA_NAME, forwardedHeaders } from '../lib/headers.ts';

const OURS = `${VIA_NAME}-0123456789ab`;
const others = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `1.1 ${VIA_NAME}-${i}`);

describe('a pseudonym', () => {
  test('is a token that begins with the name of this kind of proxy', () => {
    expect(createPseudonym()).toMatch(new RegExp(`^${VIA_NAME}-[0-9a-f]{12}$`));
  });

  test('is another one for each router', () => {
    const pseudonyms = Array.from({ length: 100 }, () => createPseudonym());
    expect(new Set(pseudonyms).size).toBe(100);
  });
});

describe('a request that comes back', () => {
  test.each([
    `1.1 ${OURS}`,
    `1.0 fred, 1.1 ${OURS}`,
    `1.1 ${OURS}, 1.1 nginx`,
    `1.1 a,1.1 ${OURS},1.1 b`,
    `HTTP/1.1 ${OURS} (a comment)`,
    `2  ${OURS}`,
    `, 1.1 ${OURS},`,
  ])('is known by its Via: %s', (via) => {
    expect(isLoop(via, OURS)).toBe(true);
  });

  test('is known by ten hops of this kind, when nobody knows the pseudonym any more', () => {
    expect(isLoop(others(9).join(', '), OURS)).toBe(false);
    expect(isLoop(others(10).join(', '), OURS)).toBe(true);
    expect(isLoop(`1.1 nginx, ${others(10).join(',')}, 1.1 nginx`, OURS)).toBe(true);
  });

  test('is known by the Via that we send', () => {
    const pseudonym = createPseudonym();
    const { via } = forwardedHeaders({ via: '1.1 nginx' }, '1.1', pseudonym);
    expect(isLoop(String(via), pseudonym)).toBe(true);
    expect(isLoop(String(via), createPseudonym())).toBe(false);
  });
});

describe('a request that comes for the first time', () => {
  test.each([
    undefined,
    '',
    ',',
    '1.1',
    '1.1 nginx',
    `1.1 ${VIA_NAME}-ffffffffffff`,
    `1.1 ${OURS}0`,
    `1.1 x${OURS}`,
    `1.1 nginx (${OURS})`,
    Array.from({ length: 30 }, () => '1.1 nginx').join(', '),
  ])('is let in, also behind other proxies: %j', (via) => {
    expect(isLoop(via, OURS)).toBe(false);
  });
});
