import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { CERTIFICATE, CERTIFICATE_KEY } from '../helpers/certificate.ts';
import { closeAfterTest } from '../helpers/scene.ts';
import { Line } from '../helpers/wire.ts';
import { render } from './answers.ts';
import { UNKNOWN_CERTIFICATE, UNKNOWN_KEY } from './unknown-certificate.ts';
import type { Framing, Kind, Step } from './vocabulary.ts';

const SERVED_WELL: readonly Step[] = [
  'read the body',
  { send: ['head', 'first half', 'second half'] },
  'go on',
];

/** What the next calls meet. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly framing: Framing;
  /** Only where the connection has served a request before. */
  readonly onlyKept: boolean;
  /** So many calls meet it, and then none. */
  times: number;
}

/** How a TLS connection goes wrong. */
export type HandshakeFault = 'the certificate is unknown' | readonly Step[];

/** An upstream that does, byte for byte, what a plan says, and serves well without one. */
export class FaultyUpstream {
  plan: Plan | undefined;
  #handshake: { readonly fault: HandshakeFault | undefined; times: number } | undefined;
  /** What its answers are: that of a request for models is always the same. */
  kind: Kind = 'chat';
  /** Requests whose heads have arrived. */
  calls = 0;
  readonly #sockets = new Set<Socket>();
  readonly #lines = new Set<Line>();
  readonly #server: net.Server;

  constructor({ isTls = false } = {}) {
    const good = tls.createServer({ cert: CERTIFICATE, key: CERTIFICATE_KEY });
    const unknown = tls.createServer({ cert: UNKNOWN_CERTIFICATE, key: UNKNOWN_KEY });
    for (const server of [good, unknown]) {
      server.on('secureConnection', (socket) => this.#open(socket));
      server.on('tlsClientError', () => {});
    }
    this.#server = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
      if (!isTls) {
        this.#open(socket);
        return;
      }
      const fault = this.#takeHandshake();
      if (fault === undefined) good.emit('connection', socket);
      else if (fault === 'the certificate is unknown') unknown.emit('connection', socket);
      else void this.#breakHandshake(new Line(socket), fault);
    });
  }

  /** Closed after the test. */
  async listen(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    closeAfterTest(() => this.close());
    return (this.#server.address() as AddressInfo).port;
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  /** What so many connections meet before they are there. */
  handshakes(fault: HandshakeFault | undefined, times: number): void {
    this.#handshake = { fault, times };
  }

  /** Does this on every open connection, while no request is on it. */
  async whileIdle(steps: readonly Step[]): Promise<void> {
    await Promise.all([...this.#lines].map((line) => this.#play(line, steps, 'usual', 0)));
  }

  /** Who does not read does not notice that the other side has gone, either. */
  readAgain(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #open(socket: Socket): void {
    const line = new Line(socket);
    this.#lines.add(line);
    socket.on('error', () => {}).on('close', () => this.#lines.delete(line));
    void this.#serve(line);
  }

  async #breakHandshake(line: Line, steps: readonly Step[]): Promise<void> {
    await line.when(() => line.bytesReceived > 0);
    await this.#play(line, steps, 'usual', 0);
  }

  /** One request after the other, as far as the plans go. */
  async #serve(line: Line): Promise<void> {
    let at = 0;
    let goesOn = true;
    for (let served = 0; goesOn; served += 1) {
      const from = at;
      // oxlint-disable-next-line no-await-in-loop -- one request after the other
      await line.when(() => line.received.indexOf('\r\n\r\n', from) >= 0);
      const headEnd = line.received.indexOf('\r\n\r\n', from);
      if (headEnd < 0) return;
      const head = line.received.toString('latin1', from, headEnd);
      at = headEnd + 4 + Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
      this.calls += 1;
      const plan = this.#take(served > 0);
      const steps = plan?.steps ?? SERVED_WELL;
      const kind = head.startsWith('GET ') ? 'get' : this.kind;
      // oxlint-disable-next-line no-await-in-loop
      goesOn = await this.#play(line, steps, plan?.framing ?? 'usual', at, kind);
    }
  }

  #takeHandshake(): HandshakeFault | undefined {
    const handshake = this.#handshake;
    if (handshake === undefined || handshake.times === 0) return undefined;
    handshake.times -= 1;
    return handshake.fault;
  }

  #take(isKept: boolean): Plan | undefined {
    const { plan } = this;
    if (plan === undefined || plan.times === 0 || (plan.onlyKept && !isKept)) return undefined;
    plan.times -= 1;
    return plan;
  }

  /** @returns whether another request may follow on the connection */
  async #play(
    line: Line,
    steps: readonly Step[],
    framing: Framing,
    bodyEnd: number,
    kind = this.kind,
  ): Promise<boolean> {
    for (const step of steps) {
      if (step === 'go on') return true;
      // oxlint-disable-next-line no-await-in-loop -- one after another
      await this.#do(line, step, framing, bodyEnd, kind);
    }
    return false;
  }

  async #do(line: Line, step: Step, framing: Framing, bodyEnd: number, kind: Kind): Promise<void> {
    if (typeof step === 'object') {
      if ('waitMs' in step) await sleep(step.waitMs);
      else {
        await line.write(Buffer.concat(step.send.map((piece) => render(piece, kind, framing))));
      }
    } else if (step === 'read the body') {
      line.socket.resume();
      await line.when(() => line.bytesReceived >= bodyEnd);
    } else if (step === 'stop reading') line.socket.pause();
    else if (step === 'close') line.fin();
    else if (step === 'reset') line.reset();
  }
}
