import { format } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import createDebug from 'debug';
import { createLog, formatFields } from '../lib/debug.ts';
import type { LogFields } from '../lib/debug.ts';

describe('the fields of a log line', () => {
  test.each<[LogFields, string]>([
    [{}, ''],
    [{ id: 'a1', status: 200, ok: true, left: false }, ' id=a1 status=200 ok=true left=false'],
    [{ zero: 0, no: undefined, empty: '' }, ' zero=0 empty=""'],
    [
      { path: '/v1/models?x', ray: '8f-FRA' },
      ' path="/v1/models?x" ray=8f-FRA'.replaceAll('"', ''),
    ],
    [{ reason: 'rate limit' }, ' reason="rate limit"'],
    [{ said: 'a "b" c' }, ' said="a \\"b\\" c"'],
    [{ pair: 'a=b' }, ' pair="a=b"'],
    [{ two: 'a\nb\tc\u2028d' }, ' two="a\\nb\\tc\u2028d"'],
    [{ name: 'größe🙂' }, ' name=größe🙂'],
  ])('are pairs, quoted where they need it: %j', (fields, text) => {
    expect(formatFields(fields)).toBe(text);
  });

  test.each(['\x1b[2J', '\x07', '\0', 'a\x08b'])(
    'cannot command a terminal: %j is shown and not sent',
    (value) => {
      expect(formatFields({ model: value })).toMatch(/^ model="[\x20-\x7e]*"$/);
    },
  );
});

describe('a log', () => {
  const { log: toStderr } = createDebug;
  let lines: string[] = [];

  beforeEach(() => {
    lines = [];
    createDebug.log = (...args: unknown[]) => {
      lines.push(format(...args));
    };
  });

  afterEach(() => {
    createDebug.disable();
    createDebug.log = toStderr;
  });

  test('writes a message and its fields to a namespace of its name', () => {
    createDebug.enable('venice-proxy:some-file');
    createLog('some-file')('it happened', { status: 200, why: 'a b' });
    createLog('other-file')('it happened');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('venice-proxy:some-file');
    expect(lines[0]).toContain('it happened status=200 why="a b"');
  });

  test('is silent and does not look at its fields while its namespace is off', () => {
    const log = createLog('some-file');
    const fields = Object.defineProperty({}, 'dear', {
      enumerable: true,
      get: () => {
        throw new Error('looked at');
      },
    });
    expect(log.isOn()).toBe(false);
    log('it happened', fields);
    expect(lines).toEqual([]);
    createDebug.enable('venice-proxy:*');
    expect(log.isOn()).toBe(true);
  });

  test('takes percent signs for what they are', () => {
    createDebug.enable('venice-proxy:*');
    createLog('some-file')('GET /a%s%d%F%%', { path: '/b%s%o%%c' });
    expect(lines[0]).toContain('GET /a%s%d%F%% path=/b%s%o%%c');
  });
});
