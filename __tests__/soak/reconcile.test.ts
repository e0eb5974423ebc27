import { describe, expect, test } from '@jest/globals';
import type { Told } from './client.ts';
import { contradictions } from './reconcile.ts';
import type { Accounts } from './reconcile.ts';
import { KINDS } from './requests.ts';
import type { Kind } from './requests.ts';
import { BROKEN_CODING, TROUBLES } from './troubles.ts';

function kindNamed(name: string): Kind {
  const kind = KINDS.find((each) => each.name === name);
  if (kind === undefined) throw new RangeError(name);
  return kind;
}

const CHAT = kindNamed('chat');
const IMAGE = kindNamed('image, billed');
const RPC = kindNamed('rpc, never replayed');
const LOGGED = { outcome: 'answered', status: 200, attempts: 1 };
const SEEN = { calls: 1, perhapsDone: 1, open: 0, strange: [] };

/** A request with which all is well, but for what is said. */
function accounts({
  kind = CHAT,
  trouble,
  ...sides
}: Partial<Accounts> & { readonly kind?: Kind; readonly trouble?: string }): Accounts {
  const request = { kind, trouble: TROUBLES.find(({ name }) => name === trouble) };
  const told: Told = { ending: 'answered', status: 200 };
  return { request, told, logged: [LOGGED], seen: SEEN, ...sides };
}

const found = (sides: Parameters<typeof accounts>[0]): string[] => [
  ...contradictions(accounts(sides)),
];

describe('no contradiction is', () => {
  test.each<[string, Parameters<typeof accounts>[0]]>([
    ['a request that all sides say was answered', {}],
    [
      'an answer after failures that may be tried again',
      { logged: [{ ...LOGGED, attempts: 3 }], seen: { ...SEEN, calls: 3, perhapsDone: 3 } },
    ],
    ['a stale connection that was replaced', { seen: { ...SEEN, calls: 2, perhapsDone: 2 } }],
    [
      'an error of the proxy, with its code',
      {
        told: { ending: 'refused', status: 429, code: 'queue_full' },
        logged: [{ outcome: 'refused', status: 429, code: 'queue_full', attempts: 0 }],
        seen: undefined,
      },
    ],
    [
      'an answer that breaks, with the code in its last event',
      {
        told: { ending: 'broken', status: 200, code: 'upstream_disconnected' },
        logged: [{ ...LOGGED, outcome: 'broken', code: 'upstream_disconnected' }],
      },
    ],
    [
      'a client that leaves before it was there',
      { told: { ending: 'left' }, logged: [], seen: undefined },
    ],
    [
      'a billed call that was done after it had been refused',
      { kind: IMAGE, logged: [{ ...LOGGED, attempts: 2 }], seen: { ...SEEN, calls: 2 } },
    ],
    [
      'a coding that breaks off, where the upstream did that',
      { trouble: BROKEN_CODING, told: { ending: 'undecodable', status: 200 } },
    ],
  ])('%s', (_, sides) => {
    expect(found(sides)).toEqual([]);
  });
});

describe('a contradiction is', () => {
  test.each<[string, Parameters<typeof accounts>[0]]>([
    ['no answer and no reason', { told: { ending: 'lost' } }],
    ['an answer that is not whole', { told: { ending: 'wrong', status: 200 } }],
    ["somebody else's answer", { told: { ending: "somebody else's", status: 200 } }],
    ['another status than the log has', { told: { ending: 'answered', status: 203 } }],
    ['a request that is not in the log', { logged: [], seen: undefined }],
    [
      'an upstream call of a request that is not in the log',
      { told: { ending: 'left' }, logged: [] },
    ],
    ['a request that ends twice', { logged: [LOGGED, LOGGED] }],
    ['an answer that nobody gave', { seen: undefined }],
    ['a break that the log does not have', { told: { ending: 'broken', status: 200 } }],
    [
      'a break in the log of which the client sees nothing',
      { logged: [{ ...LOGGED, outcome: 'broken', code: 'upstream_disconnected' }] },
    ],
    [
      'another reason than the log has',
      {
        told: { ending: 'refused', status: 504, code: 'upstream_timeout' },
        logged: [{ outcome: 'refused', status: 504, code: 'queue_full', attempts: 1 }],
      },
    ],
    ['a coding that breaks off by itself', { told: { ending: 'undecodable', status: 200 } }],
    ['more calls than attempts', { seen: { ...SEEN, calls: 3, perhapsDone: 1 } }],
    [
      'a billed call that may have been done twice',
      {
        kind: IMAGE,
        logged: [{ ...LOGGED, attempts: 2 }],
        seen: { ...SEEN, calls: 2, perhapsDone: 2 },
      },
    ],
    [
      'a second call where none may be made',
      { kind: RPC, logged: [{ ...LOGGED, attempts: 2 }], seen: { ...SEEN, calls: 2 } },
    ],
    ['a call that is never over', { seen: { ...SEEN, open: 1 } }],
    [
      "a call with somebody else's key",
      { seen: { ...SEEN, strange: ["with somebody else's key"] } },
    ],
  ])('%s', (_, sides) => {
    expect(found(sides)).not.toEqual([]);
  });
});

describe('each kind of request', () => {
  test('comes with a share that adds up to a hundred', () => {
    expect(KINDS.reduce((sum, { percent }) => sum + percent, 0)).toBe(100);
  });

  test.each(KINDS)('$name does not take another answer for its own', (kind) => {
    const sent = kind.make('marker-1-end', 'llama-3.3-70b');
    const takes = (answer: string): boolean => {
      try {
        return sent.isWhole(answer);
      } catch {
        // What is no answer at all need not be understood.
        return false;
      }
    };
    expect(takes('{"model":"another","choices":[],"data":[],"images":[],"url":"","id":""}')).toBe(
      false,
    );
    expect(takes('data: [DONE]\n\n')).toBe(false);
  });
});
