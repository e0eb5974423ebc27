import https from 'node:https';
import type { AgentOptions } from 'node:https';
import type { LookupFunction } from 'node:net';
import { CERTIFICATE } from '../helpers/certificate.ts';
import { startFront } from '../helpers/scene.ts';
import type { Front } from '../helpers/scene.ts';
import { send } from '../helpers/serve.ts';
import type { Reply, Sent } from '../helpers/serve.ts';
import { FaultyUpstream } from './faulty-upstream.ts';
import type { ConnectStep, Kind, Row } from './vocabulary.ts';

/** Long enough for any machine. */
const PATIENCE_MS = 20_000;
/** For the fault that is there to be waited out. */
const SHORT_MS = 100;

const UNKNOWN = 'the certificate is unknown';

/** By which a request can be told from all others, wherever it turns up. */
export interface Secrets {
  readonly key: string;
  readonly prompt: string;
}

/** A proxy in front of an upstream that can be made to fail. */
export interface Stage {
  readonly front: Front;
  readonly upstream: FaultyUpstream;
  /** Lets the row's fault strike so many calls. */
  arm(times: number): void;
}

export async function setStage(row: Row, kind: Kind): Promise<Stage> {
  const isTls = row.connect !== undefined;
  const upstream = new FaultyUpstream({ isTls });
  const port = await upstream.listen();
  const agent = new FaultyAgent();
  const timeout = { connect: PATIENCE_MS, firstByte: PATIENCE_MS, idle: PATIENCE_MS };
  for (const name of row.short ?? []) timeout[name] = SHORT_MS;
  const front = await startFront({
    target: isTls ? `https://localhost:${port}/up` : `http://127.0.0.1:${port}/up`,
    retries: 1,
    timeout,
    ...(isTls ? { agent } : {}),
  });
  upstream.kind = kind;
  return {
    front,
    upstream,
    arm(times) {
      agent.fail(row.connect, times);
      const { connect } = row;
      if (typeof connect === 'object') upstream.handshakes(connect.handshake, times);
      else upstream.handshakes(connect === UNKNOWN ? connect : undefined, times);
      const { steps, framing = 'usual', onlyKept = false } = row;
      upstream.plan = steps && { steps, framing, onlyKept, times };
    },
  };
}

type Created = ReturnType<https.Agent['createConnection']>;

/** Reaches the upstream, unless a fault is to strike on the way. */
class FaultyAgent extends https.Agent {
  #fault: ConnectStep | undefined;
  #times = 0;

  constructor() {
    super({ keepAlive: true, ca: CERTIFICATE });
  }

  fail(fault: ConnectStep | undefined, times: number): void {
    this.#fault = fault;
    this.#times = times;
  }

  override createConnection(options: AgentOptions, onCreated: () => void): Created {
    const fault = this.#times > 0 ? this.#fault : undefined;
    this.#times -= 1;
    const port = fault === 'nobody listens' ? 1 : options.port;
    return super.createConnection({ ...options, port, lookup: lookUp(fault) }, onCreated);
  }
}

function lookUp(fault: ConnectStep | undefined): LookupFunction {
  return (host, _options, tell) => {
    const found = (): void => tell(null, [{ address: '127.0.0.1', family: 4 }]);
    if (fault === 'the name is unknown') {
      const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), {
        code: 'ENOTFOUND',
      });
      setImmediate(() => tell(error, []));
    } else if (fault === 'the look-up takes 60 ms') setTimeout(found, 60);
    else if (fault !== 'the look-up never ends') setImmediate(found);
  };
}

const JSON_TYPE = 'application/json';

/** One request of the kind, whose key and prompt are nobody else's. */
export function ask(
  { baseUrl }: Front,
  kind: Kind,
  { key, prompt }: Secrets,
  bodyBytes = 0,
): Promise<Reply> {
  const text = prompt + ' '.repeat(Math.max(0, bodyBytes - prompt.length));
  const [path, type, body] = REQUESTS[kind](text);
  const sent: Sent = { headers: { authorization: `Bearer ${key}` } };
  if (body === undefined) return send(`${baseUrl}${path}?q=${prompt}`, sent);
  return send(baseUrl + path, { headers: { ...sent.headers, 'content-type': type }, body });
}

type Request = readonly [path: string, type: string, body: string | undefined];

const REQUESTS: Readonly<Record<Kind, (prompt: string) => Request>> = {
  chat: (prompt) => ['/chat/completions', JSON_TYPE, chatOf(prompt, {})],
  stream: (prompt) => ['/chat/completions', JSON_TYPE, chatOf(prompt, { stream: true })],
  embeddings: (prompt) => [
    '/embeddings',
    JSON_TYPE,
    JSON.stringify({ model: 'm', input: prompt, encoding_format: 'base64' }),
  ],
  upload: (prompt) => [
    '/audio/transcriptions',
    'multipart/form-data; boundary=b',
    `--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n${prompt}\r\n--b--\r\n`,
  ],
  billed: (prompt) => ['/image/generate', JSON_TYPE, JSON.stringify({ model: 'm', prompt })],
  get: () => ['/models', '', undefined],
};

function chatOf(content: string, more: object): string {
  return JSON.stringify({ model: 'm', messages: [{ role: 'user', content }], ...more });
}
