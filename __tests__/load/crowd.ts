import type { StandInOptions, StandInVenice } from '../../examples/stand-in-venice.ts';
import type { VeniceProxyOptions } from '../../lib/index.ts';
import { chat, startScene } from '../helpers/scene.ts';
import type { Scene } from '../helpers/scene.ts';
import type { Reply } from '../helpers/serve.ts';

/** Longer than any of these tests takes. */
export const PATIENCE_MS = 60_000;

/** What many clients got that asked at the same time. */
export interface Crowd {
  readonly replies: readonly Reply[];
  /** Milliseconds until the last of them had its answer. */
  readonly tookMs: number;
}

/** A proxy as users have it, in front of a stand-in. */
export function startAsUsersDo(
  standIn: StandInOptions,
  options: Omit<VeniceProxyOptions, 'target' | 'on'> = {},
): Promise<Scene> {
  return startScene({ baseRetryDelay: 1_000, rateLimitWait: 30_000, ...options }, standIn);
}

/** All at once, each over a connection of its own. */
export async function atOnce(count: number, ask: (n: number) => Promise<Reply>): Promise<Crowd> {
  const begunAt = performance.now();
  const replies = await Promise.all(Array.from({ length: count }, (_, n) => ask(n)));
  return { replies, tookMs: Math.round(performance.now() - begunAt) };
}

export function chats(count: number, scene: Scene): Promise<Crowd> {
  return atOnce(count, () => chat(scene));
}

/** How many of them have this status. */
export function withStatus({ replies }: Crowd, status: number): number {
  return replies.filter((reply) => reply.status === status).length;
}

/** How many calls the stand-in has refused, and for what. */
export function refusals({ calls }: StandInVenice): {
  readonly all: number;
  readonly block: number;
} {
  const refused = calls.filter(({ refusedBy }) => refusedBy !== undefined);
  const block = refused.filter(({ refusedBy }) => refusedBy === 'abuse').length;
  return { all: refused.length, block };
}
