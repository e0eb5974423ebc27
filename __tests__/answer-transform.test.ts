import { describe, expect, test } from '@jest/globals';
import { splitEvents, transformEvents } from '../lib/answer-transform.ts';
import type { AnswerTransform } from '../lib/answer-transform.ts';

describe('splitting events', () => {
  const cases: readonly (readonly string[])[] = [
    ['data: 1\n\n', 'data: 2\n\n'],
    ['data: 1\r\n\r\n', ': comment\r\n\r\n', 'data: 2\r\n\r\n'],
    ['data: 1\r\r', 'data: 2\r\r'],
    ['data: 1\r\n\n', 'data: 2\n\r\n', 'data: 3\r\n\r', 'data: 4\n\n'],
    ['event: a\r\ndata: 1\r\ndata: 2\r\n\r\n'],
    ['data: 1\n\n', 'data: unfinished'],
    ['data: 1\r\n\r\n', 'data: unfinished\r\n'],
    ['data: ä\n\n', 'data: 語\n\n'],
  ];

  test.each(cases)('it cuts behind each blank line, and nowhere else: %j', (...events) => {
    const split = splitEvents(Buffer.from(events.join('')));
    expect(split.map(String)).toEqual(events);
  });

  test('a line end that a chunk border cut in two begins the next event', () => {
    expect(splitEvents(Buffer.from('\ndata: 1\n\n')).map(String)).toEqual(['\ndata: 1\n\n']);
  });
});

describe('changing events', () => {
  test('what is left alone is the very same buffer', () => {
    const events = Buffer.from('data: 1\n\ndata: 2\n\n');
    expect(transformEvents({ event: (event) => event }, events)).toBe(events);
  });

  test('an event may become none, or another', () => {
    const transform: AnswerTransform = {
      event: (bytes) => (bytes.includes('1') ? Buffer.alloc(0) : Buffer.from('{}\n')),
    };
    expect(String(transformEvents(transform, Buffer.from('data: 1\n\ndata: 2\n\n')))).toBe('{}\n');
  });
});
