import { describe, expect, test } from '@jest/globals';
import { drawPlays } from '../docs/simulation-svg.ts';
import { playAll, tableOf } from '../docs/simulation.ts';

describe('the simulation', () => {
  const plays = playAll(6, 1);

  test('plays every scenario without a block, and answers or gives up everyone', () => {
    expect(plays.length).toBeGreaterThan(5);
    for (const { blocks, answered, left, requests } of plays) {
      expect(blocks).toBe(0);
      expect(answered).toBeGreaterThan(0);
      expect(answered + left).toBe(requests);
    }
  });

  test('is the same for the same seed, and another one for another', () => {
    expect(drawPlays(playAll(6, 1))).toBe(drawPlays(plays));
    expect(drawPlays(playAll(6, 2))).not.toBe(drawPlays(plays));
  });

  test('prints a line for each scenario, in columns', () => {
    const lines = tableOf(plays).split('\n');
    expect(lines).toHaveLength(plays.length + 1);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  });

  test('draws numbers only, for light and for dark', () => {
    const svg = drawPlays(plays);
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).not.toMatch(/NaN|undefined|Infinity|null/);
  });
});
