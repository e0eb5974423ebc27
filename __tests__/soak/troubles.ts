import type { Fault } from '../../examples/stand-in-venice.ts';

/** What a client does that is in nobody's interest. */
export type Behaviour =
  | 'leaves early'
  | 'leaves in its body'
  | 'leaves in the answer'
  | 'sends slowly'
  | 'reads slowly'
  | 'stops reading'
  | 'has a second';

/** What can go wrong with a request, and how often in a hundred. */
export interface Trouble {
  readonly name: string;
  readonly percent: number;
  /** What the upstream does. */
  readonly fault?: Fault;
  /** Each time, not only the first. */
  readonly isLasting?: boolean;
  readonly client?: Behaviour;
  /** Only for requests of these kinds. */
  readonly only?: RegExp;
}

/** Cut in the coding, and as if nothing were missing: no proxy that does not decode can know. */
export const BROKEN_CODING = 'gzip that breaks off';

export const TROUBLES: readonly Trouble[] = [
  { name: '503', percent: 2, fault: { kind: 'answer', status: 503 } },
  { name: '503 each time', percent: 0.5, fault: { kind: 'answer', status: 503 }, isLasting: true },
  { name: '500', percent: 2, fault: { kind: 'answer', status: 500 } },
  { name: '504', percent: 0.5, fault: { kind: 'answer', status: 504 } },
  { name: '402', percent: 0.5, fault: { kind: 'answer', status: 402, body: { error: 'No' } } },
  { name: 'overloaded', percent: 2, fault: { kind: 'overloaded' } },
  { name: 'told to wait', percent: 1, fault: { kind: 'rate-limited', resetMs: 900 } },
  { name: 'reset after the head', percent: 1, fault: { kind: 'reset', after: 'head' } },
  { name: 'reset after the body', percent: 1.5, fault: { kind: 'reset', after: 'body' } },
  { name: 'reset behind its head', percent: 1, fault: { kind: 'reset-after-head' } },
  {
    name: 'reset while it uploads',
    percent: 1,
    fault: { kind: 'reset-upload', afterBytes: 50_000 },
    only: /upload/,
  },
  {
    name: 'upload that nobody reads',
    percent: 0.3,
    fault: { kind: 'stall-upload', afterBytes: 50_000 },
    only: /upload/,
  },
  {
    name: 'early answer',
    percent: 1,
    fault: { kind: 'early-answer', status: 413, body: { error: 'Too large' } },
    only: /upload/,
  },
  { name: 'cut in its body', percent: 2, fault: { kind: 'cut-body', bytes: 40 } },
  { name: 'too short', percent: 1, fault: { kind: 'wrong-length', delta: 10 } },
  { name: 'stream cut', percent: 1.5, fault: { kind: 'cut-stream', afterEvents: 3 } },
  {
    name: 'stream cut in an event',
    percent: 1.5,
    fault: { kind: 'cut-stream', afterEvents: 2, midEvent: true, ending: 'reset' },
  },
  {
    name: 'stream that ends early',
    percent: 1.5,
    fault: { kind: 'end-stream-early', afterEvents: 3 },
    only: /stream/,
  },
  { name: 'stream of an error', percent: 1, fault: { kind: 'sse-error-first' }, only: /stream/ },
  { name: 'silence', percent: 0.5, fault: { kind: 'silent' } },
  { name: 'silence behind its head', percent: 0.5, fault: { kind: 'head-then-silent' } },
  {
    name: 'stream that falls silent',
    percent: 0.5,
    fault: { kind: 'stall-stream', afterEvents: 3 },
  },
  { name: 'late', percent: 1, fault: { kind: 'ok', latencyMs: 700 } },
  { name: 'no HTTP', percent: 0.5, fault: { kind: 'raw', bytes: 'no HTTP at all\r\n\r\n' } },
  { name: 'interim answers', percent: 1, fault: { kind: 'ok', informational: [103, 103] } },
  {
    name: BROKEN_CODING,
    percent: 1,
    fault: { kind: 'cut-body', bytes: 30, compress: 'gzip', ending: 'end' },
  },
  { name: 'gzip', percent: 1, fault: { kind: 'ok', compress: 'gzip' } },
  { name: 'reset between two', percent: 2, fault: { kind: 'ok', afterwards: 'reset' } },
  {
    name: 'all reset, nobody listens',
    percent: 0.05,
    fault: { kind: 'stop-accepting', forMs: 150 },
  },
  { name: 'client leaves before the head', percent: 2, client: 'leaves early' },
  {
    name: 'client leaves in its body',
    percent: 1,
    client: 'leaves in its body',
    only: /upload|chat/,
  },
  { name: 'client leaves in the answer', percent: 2, client: 'leaves in the answer' },
  { name: 'client sends slowly', percent: 1, client: 'sends slowly', only: /upload|chat/ },
  { name: 'client reads slowly', percent: 2, client: 'reads slowly' },
  { name: 'client stops reading', percent: 10, client: 'stops reading', only: /long/ },
  {
    name: 'silence, and a client with a second',
    percent: 0.3,
    client: 'has a second',
    fault: { kind: 'silent' },
  },
];
