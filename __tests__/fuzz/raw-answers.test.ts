import http from 'node:http';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { listenRaw, startFront } from '../helpers/scene.ts';
import { send } from '../helpers/serve.ts';
import { until } from '../helpers/until.ts';
import { mutated } from './mutated.ts';
import { patienceMs, runs } from './runs.ts';

const ANSWERS: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"a":"bcde"}',
  'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno',
  'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n11\r\ndata: {"a":"b"}\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 17\r\n\r\ndata: {"a":"b"}\n\n',
  'HTTP/1.1 700 Odd\r\nContent-Length: 2\r\n\r\nno',
  'HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nno',
];

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}

const REQUESTS: readonly Asked[] = [
  { method: 'GET', path: '/models' },
  { method: 'HEAD', path: '/models' },
  { method: 'POST', path: '/images/generations', body: { model: 'm' } },
  { method: 'POST', path: '/chat/completions', body: { model: 'm' } },
  { method: 'POST', path: '/chat/completions', body: { model: 'm', stream: true } },
  { method: 'POST', path: '/embeddings', body: { model: 'm', encoding_format: 'float' } },
];

interface Outcome {
  readonly status: number;
  readonly body: string;
  /** Its transfer coding is none that is understood, or its status is impossible. */
  readonly isRefused: boolean;
  readonly isEvents: boolean;
}

/** What Node's own client makes of the same bytes; `undefined`: no whole answer. */
function readDirectly(origin: string, method: string): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    let hasHead = false;
    const call = http.request(origin, { method, agent: false }, (response) => {
      hasHead = true;
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', () => {});
      response.on('close', () => {
        const { statusCode: status = 0, complete } = response;
        const body = Buffer.concat(pieces).toString('latin1');
        const coding = response.headers['transfer-encoding'] ?? 'chunked';
        const isRefused = status < 200 || status > 599 || !/^\s*chunked\s*$/i.test(coding);
        const isEvents = /^text\/event-stream *(;|$)/i.test(response.headers['content-type'] ?? '');
        resolve(complete ? { status, body, isRefused, isEvents } : undefined);
      });
    });
    // Behind a whole answer, too, where more bytes follow it.
    call.on('error', () => (hasHead ? undefined : resolve(undefined)));
    call.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve(undefined);
    });
    call.end();
  });
}

/** Whether a whole answer is still one that stopped short: events of chat without a sign of the end. */
function stopsShort({ path }: Asked, { isEvents, body }: Outcome): boolean {
  return isEvents && path === '/chat/completions' && !/^data: ?\[DONE\]\s*$/m.test(body);
}

test(
  'bytes that look like an answer are whole to the client where they are, and never otherwise',
  async () => {
    let bytes = Buffer.alloc(0);
    const upstream = await listenRaw((socket) => socket.end(bytes));
    const options = { retries: 0, rateLimit: false, timeout: { firstByte: 500, idle: 500 } };
    const front = await startFront({ target: upstream.origin, ...options });

    const played = fc.record({
      answer: fc.constantFrom(...ANSWERS).chain((answer) => mutated(answer)),
      asked: fc.constantFrom(...REQUESTS),
    });
    const property = fc.asyncProperty(played, async ({ answer, asked }) => {
      bytes = Buffer.from(answer);
      const { method, path, body } = asked;
      const direct = await readDirectly(upstream.origin, method);
      const through = await send(front.baseUrl + path, { method, body }).catch(() => undefined);
      const own = through?.headers['content-type']?.startsWith('application/json') === true;
      // An answer to HEAD has no body that tells.
      const isOurs =
        own &&
        (method === 'HEAD'
          ? through.status >= 502 && through.status !== direct?.status
          : /"code":"upstream_\w+"/.test(through.text));
      const isCut = through === undefined || !through.complete || isOurs;
      const got = isCut ? undefined : { status: through.status, body: latin1(through.body) };
      const isMeant = direct !== undefined && !direct.isRefused && !stopsShort(asked, direct);
      expect(got).toEqual(isMeant ? { status: direct.status, body: direct.body } : undefined);
    });
    await fc.assert(property, runs(500));
    bytes = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect((await send(`${front.baseUrl}/models`)).text).toBe('ok');
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);

function latin1(body: Buffer): string {
  return body.toString('latin1');
}
