import { closeAfterTest, startFront } from './scene.ts';
import type { Front } from './scene.ts';
import { listen } from './serve.ts';
import type { Reply } from './serve.ts';

export type Members = Record<string, unknown>;

/** What a 400 says of members that must not be there. */
export const unknown = (...names: string[]) => ({
  error: 'Invalid request parameters',
  details: { _errors: [`Unrecognized key(s) in object: '${names.join("', '")}'`] },
  issues: [{ code: 'unrecognized_keys', keys: names, path: [] }],
});

/** What a 400 says of members that must not be `null`. */
export const refusedNulls = (...names: string[]) => ({
  error: 'Invalid request parameters',
  details: Object.fromEntries(
    names.map((name) => [name, { _errors: ['Expected number, received null'] }]),
  ),
});

export interface Strict extends Front {
  /** The bodies that have arrived, and what was told of their lengths. */
  readonly bodies: readonly string[];
  readonly lengths: readonly (string | undefined)[];
}

/**
 * A proxy in front of an upstream that judges each body: what it returns is the 400's, whose body
 * comes `bodyDelayMs` after its head.
 */
export async function startStrict(
  judge: (body: Members) => object | undefined,
  options: object = {},
  bodyDelayMs = 0,
): Promise<Strict> {
  const bodies: string[] = [];
  const lengths: (string | undefined)[] = [];
  const upstream = await listen((req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('end', () => {
      const text = Buffer.concat(pieces).toString();
      bodies.push(text);
      lengths.push(req.headers['content-length']);
      const refusal = judge(JSON.parse(text) as Members);
      res.statusCode = refusal === undefined ? 200 : 400;
      res.setHeader('content-type', 'application/json');
      const answer = JSON.stringify(refusal ?? { id: 'x' });
      if (bodyDelayMs === 0) {
        res.end(answer);
      } else {
        res.flushHeaders();
        setTimeout(() => res.end(answer), bodyDelayMs);
      }
    });
  });
  closeAfterTest(() => upstream.close());
  const front = await startFront({ target: upstream.origin, ...options });
  return { ...front, bodies, lengths };
}

/** What a client sees of what became of its request. */
export function told({ status, headers }: Reply) {
  return {
    status,
    attempts: headers['x-venice-proxy-attempts'],
    dropped: headers['x-venice-proxy-dropped'],
  };
}
