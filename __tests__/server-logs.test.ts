import { beforeEach, describe, expect, test } from '@jest/globals';
import createDebug from 'debug';
import { logServer, setUpLogs } from '../examples/server/logs.ts';
import type { LogLine } from '../examples/server/logs.ts';
import { createLog } from '../lib/debug.ts';

let written = '';
const sink = { write: (line: LogLine) => void (written += line.toString()), hasColors: false };
const colorful = { ...sink, hasColors: true };
const pretty = { logFormat: 'pretty', debug: '' } as const;
const json = { logFormat: 'json', debug: '' } as const;

const logForward = createLog('forward');
const logAttempt = createLog('attempt');
const logOther = createDebug('other-package');

function lines(): string[] {
  expect(written).toMatch(/\n$/);
  return written.slice(0, -1).split('\n');
}

function record(): unknown {
  expect(lines()).toHaveLength(1);
  return JSON.parse(written);
}

beforeEach(() => {
  written = '';
});

describe('the namespaces', () => {
  test('those that an operator needs are on, all others are off', () => {
    setUpLogs(json, sink);
    for (const name of ['server', 'request-log', 'forward', 'relay', 'answer-error']) {
      expect([name, createDebug.enabled(`venice-proxy:${name}`)]).toEqual([name, true]);
    }
    expect(createDebug.enabled('venice-proxy:attempt')).toBe(false);
    expect(createDebug.enabled('express:router')).toBe(false);
  });

  test('DEBUG adds to them and takes from them', () => {
    setUpLogs(
      { ...json, debug: 'other-package, venice-proxy:attempt,-venice-proxy:forward' },
      sink,
    );
    logAttempt('shown');
    logForward('hidden');
    logOther('shown, too');
    logServer('as usual');
    expect(lines().map((line) => JSON.parse(line))).toMatchObject([
      { name: 'venice-proxy:attempt', message: 'shown' },
      { name: 'other-package', message: 'shown, too' },
      { name: 'venice-proxy:server', message: 'as usual' },
    ]);
  });
});

describe('LOG_FORMAT=json', () => {
  test('a line is one object: time, name, message, fields with their types', () => {
    setUpLogs(json, sink);
    logForward('trying again', { id: 'a1', attempt: 2, final: false, status: undefined });
    expect(record()).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      name: 'venice-proxy:forward',
      message: 'trying again',
      id: 'a1',
      attempt: 2,
      final: false,
    });
  });

  test('a message without fields does not inherit those of the line before', () => {
    setUpLogs(json, sink);
    logForward('first', { id: 'a1' });
    written = '';
    logServer('second');
    expect(record()).not.toHaveProperty('id');
  });

  test("other packages' lines are objects, too: formats, errors, inspected things, line ends", () => {
    setUpLogs({ ...json, debug: 'other-package' }, sink);
    logOther('%d%% of %s: %o', 50, 'work', { a: 1 });
    logOther('two\nlines');
    logOther(new Error('failed'));
    logOther({ deep: { er: true } });
    const messages = lines().map((line) => JSON.parse(line));
    expect(messages).toHaveLength(4);
    expect(messages[0].message).toBe('50% of work: { a: 1 }');
    expect(messages[1].message).toBe('two\nlines');
    expect(messages[2].message).toMatch(/^Error: failed\n/);
    expect(messages[3].message).toBe('{ deep: { er: true } }');
  });

  test('values come back as they were, whatever stands in them', () => {
    setUpLogs(json, sink);
    const strange = '100%s %d %% "q" \\ \n\r\u2028\u0085\u001b[31m ünï';
    logForward(strange, { model: strange });
    // Outside of ASCII's white space, too: some readers end lines at U+0085 or U+2028.
    // oxlint-disable-next-line no-control-regex -- the point of it
    expect(written.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u0085\u2028]/);
    expect(record()).toMatchObject({ model: strange });
  });
});

describe('LOG_FORMAT=pretty', () => {
  test('a line is the time of day, the namespace, the message, the fields', () => {
    setUpLogs(pretty, sink);
    logForward('trying again', { id: 'a1', attempt: 2, reason: 'the reset', status: undefined });
    expect(written).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} venice-proxy:forward trying again id=a1 attempt=2 reason="the reset"\n$/,
    );
  });

  test('colours come where they are understood, and nowhere else', () => {
    setUpLogs(pretty, colorful);
    logForward('trying again', { id: 'a1' });
    expect(written).toContain('\u001b[');
    written = '';
    setUpLogs(pretty, sink);
    logForward('trying again', { id: 'a1' });
    expect(written).not.toContain('\u001b[');
  });

  test.each([
    ['percent signs', '100%s %d %o %% %F', '100%s %d %o %% %F'],
    ['a line end', 'a\nb', '"a\\nb"'],
    ['an escape code', '\u001b[2J', '\\u001b[2J'],
    ['a quote', 'say "x"', '"say \\"x\\""'],
    ['other line ends', 'a\u2028b\u0085c', '"a\\u2028b\\u0085c"'],
  ])('%s in a value makes neither a second line nor nonsense', (_, value, shown) => {
    setUpLogs(pretty, sink);
    logForward('trying again', { model: value, id: 'a1' });
    expect(lines()).toHaveLength(1);
    expect(written).toContain(` trying again model=`);
    expect(written).toContain(shown);
    expect(written).toMatch(/ id=a1\n$/);
  });

  test('a line end in a message makes no second line', () => {
    setUpLogs(pretty, sink);
    logForward('POST /a\nb 100%d', { id: 'a1' });
    expect(written).toMatch(/ POST \/a\\u000ab 100%d id=a1\n$/);
  });

  test("other packages' lines keep their line ends", () => {
    setUpLogs({ ...pretty, debug: 'other-package' }, sink);
    logOther('two\nlines');
    expect(lines()).toHaveLength(2);
  });
});
