import { ANSWERED, ANSWERED_AGAIN, REPLACED, TIMED_OUT, all } from './expected.ts';
import type { Cell, FaultName, Kind, Row, Step } from './vocabulary.ts';

const REST = ['head', 'first half', 'second half'] as const;

function row(fault: FaultName, how: string, more: Partial<Row>, cells: Row['cells']): Row {
  return { phase: 'between', fault, how, onlyKept: true, cells, ...more };
}

const raw = (bytes: string): Step => ({ send: [{ bytes }] });

/** What is billed by the call goes out on connections of its own: the fault does not meet it. */
function ofKept(cells: Record<Kind, Cell>): Record<Kind, Cell> {
  return { ...cells, upload: ANSWERED, billed: ANSWERED };
}

export const BETWEEN: readonly Row[] = [
  row('reset', 'while nobody uses it', { idle: ['reset'] }, all(ANSWERED)),
  row('reset', 'as the request arrives', { steps: ['reset'] }, ofKept(all(REPLACED))),
  row(
    'silent',
    'as if the line were cut',
    { steps: ['be silent'], short: ['firstByte'] },
    ofKept(all(TIMED_OUT)),
  ),
  row(
    'slow',
    '',
    { steps: ['read the body', { waitMs: 60 }, { send: REST }, 'go on'] },
    ofKept(all(ANSWERED)),
  ),
  row('half', 'closed while nobody uses it', { idle: ['close'] }, all(ANSWERED)),
  row('half', 'closed as the request arrives', { steps: ['close'] }, ofKept(all(REPLACED))),
  row(
    'half',
    'closed within the head',
    { steps: ['read the body', { send: ['half a head'] }, 'close'] },
    ofKept(all(ANSWERED_AGAIN)),
  ),
  row(
    'too short',
    'the rest of the answer before comes late',
    { idle: [raw('{"late":1}')] },
    all(ANSWERED),
  ),
  row(
    'garbage',
    'while nobody uses it',
    { idle: [raw('SSH-2.0-OpenSSH_9.6\r\n\r\n')] },
    all(ANSWERED),
  ),
  row(
    'interim',
    'while nobody uses it',
    { idle: [raw('HTTP/1.1 103 Hints\r\n\r\n')] },
    all(ANSWERED),
  ),
  row(
    'bodiless',
    'the answer before',
    {
      strikesBefore: true,
      steps: [
        raw('HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n'),
        { waitMs: 20 },
        raw('{"a"}'),
        'go on',
      ],
    },
    all(ANSWERED),
  ),
  row(
    'early',
    'an answer that nobody asked for',
    { idle: [raw('HTTP/1.1 408 Too Slow\r\nContent-Length: 2\r\n\r\n{}')] },
    all(ANSWERED),
  ),
];
