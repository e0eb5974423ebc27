import { hash } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';

/** Whose window a request counts against. */
export interface BucketName {
  /** A hash of the target and the credentials: they are not kept. */
  readonly key: string;
  /** The model's id without its features; empty for routes without a model. */
  readonly bucket: string;
  /** Both in one. */
  readonly id: string;
}

/** Ids that are longer than any model's are hashed. */
const LONGEST_ID = 100;

/** @param headers - those of the upstream call: what counts is the key that goes upstream */
export function bucketName(
  target: URL,
  headers: OutgoingHttpHeaders,
  model: string | undefined,
): BucketName {
  const credentials = headers['authorization'] ?? headers['sign-in-with-x'] ?? '';
  // `llama-3.3-70b:enable_web_search=on`: the limit belongs to what stands in front of the colon.
  const id = model?.split(':', 1)[0] ?? '';
  const key = digest(`${target.origin} ${String(credentials)}`);
  const bucket = id.length > LONGEST_ID ? digest(id) : id;
  return { key, bucket, id: `${key} ${bucket}` };
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}
