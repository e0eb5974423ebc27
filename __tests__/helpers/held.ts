import { setTimeout as sleep } from 'node:timers/promises';
import { CHAT } from './scene.ts';
import type { Front, Scene } from './scene.ts';
import { send } from './serve.ts';
import type { Reply } from './serve.ts';
import { dial } from './wire.ts';
import type { Line } from './wire.ts';

/** A window of one request that is told to the millisecond. */
export function oneIn(windowMs: number) {
  return { requests: { limit: 1, windowMs }, resetFormat: 'milliseconds' } as const;
}

/** One chat request as bytes; `changes` are further members of its body. */
export function chatBytes(changes: object = {}, key = 'test-key'): string {
  const body = JSON.stringify({ ...CHAT, ...changes });
  return [
    'POST /api/v1/chat/completions HTTP/1.1',
    'Host: proxy',
    `Authorization: Bearer ${key}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}

export function getBytes(path: string): string {
  return `GET /api/v1${path} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer test-key\r\n\r\n`;
}

/** A body that streams through the proxy, to a route that has no model. */
export function upload({ baseUrl }: Front): Promise<Reply> {
  return send(`${baseUrl}/audio/transcriptions`, {
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
    body: 'x'.repeat(1_000),
  });
}

/** A client that is held: it stays until it is reset, or the test ends. */
export async function hold(front: Front, bytes = chatBytes()): Promise<Line> {
  const before = front.recorder.holds.length;
  const client = await dial(front.origin);
  await client.write(bytes);
  await front.recorder.held(before + 1);
  return client;
}

/** The `tag` of each call that has arrived, in order: a member that means nothing to anybody. */
export function tags({ venice }: Scene): unknown[] {
  return venice.calls.map(({ body }) => {
    const said: { tag?: unknown } = JSON.parse(body.toString());
    return said.tag;
  });
}

/** Timers that keep the process alive. */
export function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

/** Until nothing that is on its way can still arrive. */
export function aMoment(): Promise<void> {
  return sleep(100);
}
