import { describe, expect, test } from '@jest/globals';
import { chainTransforms, splitEvents, transformEvents } from '../lib/answer-transform.ts';
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

function unexpected(error: unknown): never {
  throw new Error('a transform has thrown', { cause: error });
}

describe('changing events', () => {
  test('what came before an event that could not be changed is not lost', () => {
    const errors: unknown[] = [];
    const transform: AnswerTransform = {
      event: (bytes) => {
        if (bytes.includes('2')) throw new Error('no');
        return bytes;
      },
    };
    const events = Buffer.from('data: 1\n\ndata: 2\n\ndata: 3\n\n');
    const changed = transformEvents(transform, events, (error) => errors.push(error));
    expect([String(changed), errors]).toEqual(['data: 1\n\n', [new Error('no')]]);
  });

  test('what is left alone is the very same buffer', () => {
    const events = Buffer.from('data: 1\n\ndata: 2\n\n');
    expect(transformEvents({ event: (event) => event }, events, unexpected)).toBe(events);
  });

  test('an event may become none, or another', () => {
    const transform: AnswerTransform = {
      event: (bytes) => (bytes.includes('1') ? Buffer.alloc(0) : Buffer.from('{}\n')),
    };
    expect(
      String(transformEvents(transform, Buffer.from('data: 1\n\ndata: 2\n\n'), unexpected)),
    ).toBe('{}\n');
  });
});

describe('two transforms in a row', () => {
  const first: AnswerTransform = {
    json: (body) => Buffer.from(`${String(body)}1`),
    event: (event) => (event.includes('gone') ? Buffer.alloc(0) : Buffer.from(`${String(event)}1`)),
  };
  const second: AnswerTransform = {
    streamType: 'application/x-ndjson',
    json: (body) => Buffer.from(`${String(body)}2`),
    event: (event) => Buffer.from(`${String(event)}2`),
    end: () => Buffer.from('end'),
    error: ({ message }) => Buffer.from(message),
  };

  test('work on each other, and the second one has the last word', async () => {
    const both = chainTransforms(first, second);
    expect(String(await both.json?.(Buffer.from('0')))).toBe('012');
    expect(String(both.event?.(Buffer.from('0')))).toBe('012');
    expect(both.streamType).toBe('application/x-ndjson');
    expect(String(both.end?.())).toBe('end');
    const error = { message: 'no', type: 'server_error', param: null, code: null };
    expect(String(both.error?.(error))).toBe('no');
  });

  test('ask the second one about no event that the first one has dropped', () => {
    expect(String(chainTransforms(first, second).event?.(Buffer.from('gone')))).toBe('');
  });

  test('want nothing that neither of them wants', () => {
    const { json, event, end, error } = chainTransforms({}, {});
    expect([json, event, end, error]).toEqual([undefined, undefined, undefined, undefined]);
    const { json: held } = chainTransforms({}, second);
    expect(held).toBeDefined();
  });
});
