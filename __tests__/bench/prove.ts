import { isDeepStrictEqual } from 'node:util';
import { withoutStamps } from './load.ts';
import type { Bench, Running } from './bench.ts';
import type { Work } from './work.ts';

/**
 * What a subject makes of a work: all that is asked; the same with a body that says the same in
 * other bytes; a mere relay; or nothing that could be used.
 */
export type Proof =
  | { readonly kind: 'done' }
  | { readonly kind: 'respelt' }
  | { readonly kind: 'carried' }
  | { readonly kind: 'cannot'; readonly reason: string };

/** Sends one request through a subject and looks at every byte, on both sides of it. */
export async function prove(bench: Bench, { address }: Running, work: Work): Promise<Proof> {
  const { upstream, generator } = bench;
  await upstream.call('keepBodies', true);
  const answer = await generator.call('once', address, work.name);
  const forwarded = await upstream.call('lastBody');
  await upstream.call('keepBodies', false);

  if (answer.failure !== undefined) return { kind: 'cannot', reason: answer.failure };
  if (answer.status !== 200) {
    return { kind: 'cannot', reason: `answers ${answer.status} to it` };
  }
  const relayed = withoutStamps(Buffer.from(answer.body));
  const isForwarded = work.forwarded.equals(forwarded);
  if (isForwarded && relayed === withoutStamps(work.relayed)) return { kind: 'done' };
  const isAnswer = relayed === withoutStamps(work.answer);
  if (isAnswer && work.body.equals(forwarded)) return { kind: 'carried' };
  if (isAnswer && saysTheSame(work.forwarded, forwarded)) return { kind: 'respelt' };
  return { kind: 'cannot', reason: isForwarded ? 'changes the answer' : 'changes the body' };
}

function saysTheSame(expected: Buffer, received: Uint8Array): boolean {
  try {
    return isDeepStrictEqual(
      JSON.parse(expected.toString()),
      JSON.parse(Buffer.from(received).toString()),
    );
  } catch {
    return false;
  }
}
