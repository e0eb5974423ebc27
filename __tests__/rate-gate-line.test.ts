import { describe, expect, test } from '@jest/globals';
import { WaitingLine } from '../lib/rate-gate/waiting-line.ts';

interface Named {
  readonly name: string;
  readonly deadline: number;
}

function lineOf(...deadlines: number[]): WaitingLine<Named> {
  const line = new WaitingLine<Named>();
  deadlines.forEach((deadline, index) => line.join({ name: String(index), deadline }, false));
  return line;
}

const names = (waiting: Iterable<Named>): string[] => [...waiting].map(({ name }) => name);

describe('the line', () => {
  test('lets those go first who came first', () => {
    const line = lineOf(9, 8, 7);
    expect([line.shift()?.name, line.shift()?.name, line.shift()?.name]).toEqual(['0', '1', '2']);
    expect(line.shift()).toBeUndefined();
  });

  test('has those in front who had been let through, in order of their return', () => {
    const line = lineOf(9, 9);
    expect(line.ahead(true)).toBe(0);
    line.join({ name: 'back', deadline: 9 }, true);
    expect(line.ahead(true)).toBe(1);
    expect(line.ahead(false)).toBe(3);
    line.join({ name: 'later', deadline: 9 }, true);
    expect(names(line)).toEqual(['back', 'later', '0', '1']);
  });

  test('closes behind who leaves', () => {
    const line = lineOf(9, 9, 9);
    const second = [...line][1];
    if (second !== undefined) line.leave(second);
    expect(names(line)).toEqual(['0', '2']);
    expect(line.length).toBe(2);
  });

  test('knows the earliest deadline, and none when nobody waits', () => {
    const line = lineOf(30, 10, 20);
    expect(line.earliestDeadline).toBe(10);
    line.takeHopeless(() => 15);
    expect(line.earliestDeadline).toBe(20);
    line.shift();
    line.shift();
    expect(line.earliestDeadline).toBe(Infinity);
  });

  test('gives up who would wait in vain; the others move up by that', () => {
    // Each is served 10 after the one ahead.
    const line = lineOf(0, 5, 10, 14, 20);
    const hopeless = line.takeHopeless((ahead) => 10 * ahead);
    expect(names(hopeless)).toEqual(['1', '3']);
    expect(names(line)).toEqual(['0', '2', '4']);
  });

  test('costs the same for each however many wait', () => {
    const line = new WaitingLine<Named>();
    const all = Array.from({ length: 100_000 }, (_, index) => ({ name: '', deadline: index }));
    for (const each of all) line.join(each, false);
    const startedAt = performance.now();
    for (const each of all.toReversed().slice(0, 50_000)) line.leave(each);
    while (line.shift() !== undefined);
    // Were it a search each time, this would take minutes.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
