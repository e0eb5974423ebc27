import { ANSWERED, AS_IT_CAME, TIMED_OUT, all, broken, lost } from './expected.ts';
import type { Cell, FaultName, Row, Step } from './vocabulary.ts';

const HALF = ['head', 'first half'] as const;

function row(fault: FaultName, how: string, steps: readonly Step[], cells: Row['cells']): Row {
  // The wait: what a reset overtakes is lost.
  const before: readonly Step[] = ['read the body', { send: HALF }, { waitMs: 10 }];
  return { phase: 'body', fault, how, steps: [...before, ...steps], cells };
}

/** In a coding nobody can add an event: a stream, too, is left unfinished. */
const UNFINISHED: Cell = broken('upstream_disconnected').chat;
const UNREADABLE = lost('upstream_invalid').embeddings;

/** The length is believed; a stream and embeddings show by themselves that something is missing. */
const TOO_SHORT: Row['cells'] = {
  ...all(AS_IT_CAME),
  stream: broken('upstream_disconnected').stream,
  embeddings: UNREADABLE,
};

export const BODY: readonly Row[] = [
  row('reset', '', ['reset'], broken('upstream_disconnected')),
  {
    ...row('silent', '', ['be silent'], { ...broken('upstream_timeout'), embeddings: TIMED_OUT }),
    short: ['idle'],
  },
  row('slow', '', [{ waitMs: 40 }, { send: ['second half'] }, 'go on'], all(ANSWERED)),
  row('half', 'closed', ['close'], broken('upstream_disconnected')),
  {
    ...row(
      'too long',
      'closed',
      [{ send: ['second half'] }, 'close'],
      broken('upstream_disconnected'),
    ),
    framing: 'too long',
  },
  {
    ...row('too short', 'the rest comes later', [{ send: ['second half'] }, 'go on'], {
      ...TOO_SHORT,
      // It comes when the same connection is in use for the second attempt.
      embeddings: { ...UNREADABLE, lingers: true },
    }),
    framing: 'too short',
  },
  {
    ...row('too short', 'the rest in the same piece', [], TOO_SHORT),
    steps: ['read the body', { send: ['head', 'first half', 'second half'] }, 'be silent'],
    framing: 'too short',
  },
  {
    ...row(
      'garbage',
      'in place of a chunk',
      [{ send: [{ bytes: 'zzz\r\n' }] }, 'be silent'],
      broken('upstream_invalid'),
    ),
    framing: 'chunked',
  },
  {
    ...row('garbage', 'more bytes behind a whole answer', [], all(ANSWERED)),
    steps: [
      'read the body',
      { send: ['head', 'first half', 'second half', { bytes: '---' }] },
      'go on',
    ],
  },
  {
    ...row('gzip', 'closed', ['close'], { ...broken('upstream_disconnected'), stream: UNFINISHED }),
    framing: 'gzip',
  },
  {
    ...row('gzip', 'ended as if it were whole', [{ send: ['all but the end'] }, 'go on'], {
      ...all(AS_IT_CAME),
      embeddings: UNREADABLE,
    }),
    framing: 'gzip',
  },
];
