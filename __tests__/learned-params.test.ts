import { describe, expect, test } from '@jest/globals';
import { findMembers } from '../lib/json-members.ts';
import { LearnedParams, placeOf } from '../lib/learned-params.ts';
import { HeldBytes } from '../lib/held-bytes.ts';
import { createRewriter } from '../lib/rewrite-json.ts';

const HOUR_MS = 3_600_000;

function startLearning() {
  const clock = { now: 0 };
  const learned = new LearnedParams(() => clock.now);
  const known = (place: string) => {
    const refusals = learned.of(place);
    return refusals && Object.fromEntries(refusals);
  };
  return { clock, learned, known };
}

function refusableOf(text: string): object | undefined {
  const dropped = new Set(['logprobs']);
  const learnable = new Set(['user', 'logprobs']);
  const { refusable } = createRewriter(dropped, learnable)(
    '/chat/completions',
    new HeldBytes([Buffer.from(text)]),
  );
  return refusable && Object.fromEntries(refusable);
}

describe('what may be refused of a body', () => {
  test.each<[string, object | undefined]>([
    ['{"user":1,"n":null,"a":1,"logprobs":2}', { user: 'any', n: 'null' }],
    ['{"user":1,"user":null}', { user: 'null' }],
    ['{"user":null,"user":1}', { user: 'any' }],
    ['{"a":{"user":1,"n":null},"b":[null]}', undefined],
    ['{"a b":null,"é":null}', undefined],
    ['{"user":1', undefined],
    [`{"${Array.from({ length: 31 }, (_, i) => i).join('":null,"')}":null}`, undefined],
  ])('is told of %s', (text, found) => {
    expect(refusableOf(text)).toEqual(found);
  });

  test('is bounded, and what else is to be found is found', () => {
    const nulls = Array.from({ length: 1_500 }, (_, i) => `"m${i}":null`).join();
    const members = findMembers(Buffer.from(`{${nulls},"a":1}`), new Set(['a']), true);
    expect(members).toHaveLength(1_001);
    expect(members?.at(-1)?.name).toBe('a');
  });
});

describe('what was learnt', () => {
  test('is kept for an hour from the last refusal', () => {
    const { clock, learned, known } = startLearning();
    learned.learn('p', 'user', 'any');
    clock.now = 10;
    learned.learn('p', 'n', 'null');
    clock.now = HOUR_MS - 1;
    expect(known('p')).toEqual({ user: 'any', n: 'null' });
    learned.learn('p', 'user', 'any');
    clock.now = HOUR_MS + 9;
    expect(known('p')).toEqual({ user: 'any', n: 'null' });
    clock.now = HOUR_MS + 10;
    expect(known('p')).toEqual({ user: 'any' });
    clock.now = 2 * HOUR_MS - 1;
    expect(known('p')).toBeUndefined();
  });

  test('is no less than before when a null is refused of what is not known at all', () => {
    const { learned, known } = startLearning();
    learned.learn('p', 'user', 'any');
    learned.learn('p', 'user', 'null');
    expect(known('p')).toEqual({ user: 'any' });
    learned.learn('p', 'n', 'null');
    learned.learn('p', 'n', 'any');
    expect(known('p')).toEqual({ user: 'any', n: 'any' });
  });

  test('is the same object as long as nothing changes, and another one afterwards', () => {
    const { learned } = startLearning();
    learned.learn('p', 'user', 'any');
    const before = learned.of('p');
    expect(learned.of('p')).toBe(before);
    learned.learn('p', 'n', 'any');
    expect(learned.of('p')).not.toBe(before);
    expect(before?.size).toBe(1);
  });

  test('can be taken back', () => {
    const { learned, known } = startLearning();
    learned.learn('p', 'user', 'any');
    learned.learn('p', 'n', 'null');
    learned.forget('p', 'user');
    learned.forget('p', 'other');
    learned.forget('q', 'n');
    expect(known('p')).toEqual({ n: 'null' });
    learned.forget('p', 'n');
    expect(known('p')).toBeUndefined();
  });

  test('is bounded: what was refused longest ago is forgotten', () => {
    const { learned, known } = startLearning();
    for (let i = 0; i < 51; i += 1) learned.learn('p', `m${i}`, 'any');
    expect(Object.keys(known('p') ?? {})).toHaveLength(50);
    expect(known('p')).not.toHaveProperty('m0');
    learned.learn('q', 'user', 'any');
    learned.learn('p', 'm1', 'any');
    for (let i = 0; i < 999; i += 1) learned.learn(`place ${i}`, 'user', 'any');
    expect(known('p')).toBeDefined();
    expect(known('q')).toBeUndefined();
  });

  test('is kept by route and by the id in front of the features', () => {
    expect(placeOf('/responses', 'a:b=c')).toBe(placeOf('/responses', 'a'));
    expect(placeOf('/responses', 'a')).not.toBe(placeOf('/chat/completions', 'a'));
    expect(placeOf('/responses', undefined)).toBe('/responses ');
    expect(placeOf('/responses', 'x'.repeat(500))).toBeUndefined();
  });
});
