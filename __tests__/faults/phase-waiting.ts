import { ANSWERED, TIMED_OUT, all, lost } from './expected.ts';
import type { FaultName, Row, Step } from './vocabulary.ts';

const REST = ['head', 'first half', 'second half'] as const;

function row(fault: FaultName, how: string, steps: readonly Step[], cells: Row['cells']): Row {
  return { phase: 'waiting', fault, how, steps: ['read the body', ...steps], cells };
}

const raw = (bytes: string): Step => ({ send: [{ bytes }] });

export const WAITING: readonly Row[] = [
  row('reset', '', ['reset'], lost('upstream_disconnected')),
  { ...row('silent', '', ['be silent'], all(TIMED_OUT)), short: ['firstByte'] },
  {
    ...row(
      'silent',
      'after an interim answer',
      [raw('HTTP/1.1 103 Hints\r\n\r\n'), 'be silent'],
      all(TIMED_OUT),
    ),
    short: ['firstByte'],
  },
  row('slow', '', [{ waitMs: 60 }, { send: REST }, 'go on'], all(ANSWERED)),
  row('half', 'closed without a byte', ['close'], lost('upstream_disconnected')),
  row(
    'half',
    'closed within the head',
    [{ send: ['half a head'] }, 'close'],
    lost('upstream_disconnected'),
  ),
  row('garbage', '', [raw('SSH-2.0-OpenSSH_9.6\r\n\r\n'), 'close'], lost('upstream_invalid')),
  row(
    'garbage',
    'two lengths that differ',
    [raw('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}'), 'close'],
    lost('upstream_invalid'),
  ),
  row(
    'garbage',
    'an impossible status',
    [raw('HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\n{}'), 'be silent'],
    lost('upstream_invalid'),
  ),
  row(
    'headers',
    '',
    [raw(`HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`), 'close'],
    lost('upstream_invalid'),
  ),
  row(
    'interim',
    '100 and 103, then the answer',
    [
      raw('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n'),
      { waitMs: 20 },
      { send: REST },
      'go on',
    ],
    all(ANSWERED),
  ),
  row(
    'interim',
    '101, which nobody asked for',
    [raw('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'), 'be silent'],
    lost('upstream_disconnected'),
  ),
  row(
    'bodiless',
    '204',
    [raw('HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n{"a"}'), 'be silent'],
    all({ ...ANSWERED, gets: { answer: 'as it came', status: 204 } }),
  ),
  row(
    'bodiless',
    '304',
    [raw('HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n{"a"}'), 'be silent'],
    all({ ...ANSWERED, gets: { answer: 'as it came', status: 304 } }),
  ),
];
