import { ANSWERED, TIMED_OUT, all, but, lost } from './expected.ts';
import type { Cell, FaultName, Row, Step } from './vocabulary.ts';

const REST = ['head', 'first half', 'second half'] as const;
/** More than the buffers on the way take. */
const MORE_THAN_FITS = 12_000_000;

function row(fault: FaultName, how: string, steps: readonly Step[], cells: Row['cells']): Row {
  return { phase: 'sending', fault, how, steps, bodyBytes: 1_000_000, cells: but(cells, 'get') };
}

const raw = (bytes: string): Step => ({ send: [{ bytes }] });

const REFUSED: Cell = { ...ANSWERED, gets: { answer: 'whole', status: 413 } };

export const SENDING: readonly Row[] = [
  row('reset', '', ['reset'], lost('upstream_disconnected')),
  {
    ...row('silent', 'reads no more', ['stop reading', 'be silent'], all(TIMED_OUT)),
    short: ['firstByte', 'idle'],
    bodyBytes: MORE_THAN_FITS,
  },
  row(
    'slow',
    'rests before it reads',
    ['stop reading', { waitMs: 60 }, 'read the body', { send: REST }, 'go on'],
    all(ANSWERED),
  ),
  row('half', 'closed', ['close'], lost('upstream_disconnected')),
  row(
    'garbage',
    '',
    [raw('SSH-2.0-OpenSSH_9.6\r\n\r\n'), 'read the body', 'close'],
    lost('upstream_invalid'),
  ),
  row(
    'headers',
    '',
    [raw(`HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`), 'read the body', 'close'],
    lost('upstream_invalid'),
  ),
  row(
    'interim',
    '100 and 103',
    [
      raw('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n'),
      'read the body',
      { send: REST },
      'go on',
    ],
    all(ANSWERED),
  ),
  row(
    'bodiless',
    '204',
    [raw('HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n{"a"}'), 'read the body', 'be silent'],
    all({ ...ANSWERED, gets: { answer: 'as it came', status: 204 } }),
  ),
  row(
    'early',
    '200, and reads the rest',
    [{ send: REST }, 'read the body', 'go on'],
    all(ANSWERED),
  ),
  {
    ...row(
      'early',
      '413, and reads no more',
      ['stop reading', { send: ['refusal'] }, 'be silent'],
      all(REFUSED),
    ),
    bodyBytes: MORE_THAN_FITS,
  },
];
