import http from 'node:http';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { listenRaw, startFront } from '../helpers/scene.ts';
import { send } from '../helpers/serve.ts';
import { mutated } from './mutated.ts';
import { patienceMs, runs } from './runs.ts';

const ANSWERS: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"a":"bcde"}',
  'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno',
  'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n',
];

interface Outcome {
  readonly status: number;
  readonly body: string;
  /** Its transfer coding is none that is understood, or its status is impossible. */
  readonly isRefused: boolean;
}

/** What Node's own client makes of the same bytes; `undefined`: no whole answer. */
function readDirectly(origin: string): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    let hasHead = false;
    const call = http.get(origin, { agent: false }, (response) => {
      hasHead = true;
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', () => {});
      response.on('close', () => {
        const { statusCode: status = 0, complete } = response;
        const body = Buffer.concat(pieces).toString('latin1');
        const coding = response.headers['transfer-encoding'] ?? 'chunked';
        const isRefused = status < 200 || status > 599 || !/^\s*chunked\s*$/i.test(coding);
        resolve(complete ? { status, body, isRefused } : undefined);
      });
    });
    // Behind a whole answer, too, where more bytes follow it.
    call.on('error', () => (hasHead ? undefined : resolve(undefined)));
    call.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve(undefined);
    });
  });
}

test(
  'bytes that look like an answer are whole to the client where they are, and never otherwise',
  async () => {
    let bytes = Buffer.alloc(0);
    const upstream = await listenRaw((socket) => socket.end(bytes));
    const options = { retries: 0, rateLimit: false, timeout: { firstByte: 500, idle: 500 } };
    const front = await startFront({ target: upstream.origin, ...options });

    const property = fc.asyncProperty(
      fc.constantFrom(...ANSWERS).chain((answer) => mutated(answer)),
      async (answer) => {
        bytes = Buffer.from(answer);
        const direct = await readDirectly(upstream.origin);
        const through = await send(`${front.baseUrl}/models`).catch(() => undefined);
        const own = through?.headers['content-type']?.startsWith('application/json') === true;
        const isOurs = own && /"code":"upstream_\w+"/.test(through.text);
        const isCut = through === undefined || !through.complete || isOurs;
        const got = isCut ? undefined : { status: through.status, body: latin1(through.body) };
        const isMeant = direct !== undefined && !direct.isRefused;
        expect(got).toEqual(isMeant ? { status: direct.status, body: direct.body } : undefined);
      },
    );
    await fc.assert(property, runs(500));
    bytes = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect((await send(`${front.baseUrl}/models`)).text).toBe('ok');
    expect(front.proxy.inFlight).toBe(0);
  },
  patienceMs(),
);

function latin1(body: Buffer): string {
  return body.toString('latin1');
}
