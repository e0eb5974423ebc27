import { ANSWERED, TIMED_OUT, all, lost } from './expected.ts';
import type { FaultName, Row, Step } from './vocabulary.ts';

function row(fault: FaultName, how: string, steps: readonly Step[], cells: Row['cells']): Row {
  // The wait: what a reset overtakes is lost, the head, too.
  const before: readonly Step[] = ['read the body', { send: ['head'] }, { waitMs: 10 }];
  return { phase: 'first', fault, how, steps: [...before, ...steps], cells };
}

export const FIRST: readonly Row[] = [
  row('reset', '', ['reset'], lost('upstream_disconnected')),
  { ...row('silent', '', ['be silent'], all(TIMED_OUT)), short: ['idle'] },
  row(
    'slow',
    '',
    [{ waitMs: 40 }, { send: ['first half', 'second half'] }, 'go on'],
    all(ANSWERED),
  ),
  row('half', 'closed', ['close'], lost('upstream_disconnected')),
  { ...row('too long', 'closed', ['close'], lost('upstream_disconnected')), framing: 'too long' },
  {
    ...row(
      'garbage',
      'in place of a chunk',
      [{ send: [{ bytes: 'zzz\r\n' }] }, 'be silent'],
      lost('upstream_invalid'),
    ),
    framing: 'chunked',
  },
  { ...row('gzip', 'closed', ['close'], lost('upstream_disconnected')), framing: 'gzip' },
];
