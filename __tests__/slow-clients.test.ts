import { expect, test } from '@jest/globals';
import { send } from './helpers/serve.ts';
import { availability, describeWithSlowHttpTest, startAttack } from './helpers/slowhttptest.ts';
import { startTestServer } from './helpers/start-test-server.ts';
import type { TestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';
import { startUpstream } from './helpers/wire.ts';

const ATTACKERS = 100;

/** As users have it, but so short that a test can wait for it. */
const IMPATIENT = { HEADERS_TIMEOUT: '1', REQUEST_TIMEOUT: '1.5', TIMEOUT: '1' };

/** More than the buffers of a connection take. */
const BIG = Buffer.alloc(8_000_000, 'x');

interface Attacked {
  readonly server: TestServer;
  /** How many connections there have been. */
  readonly seen: () => number;
  readonly openCalls: () => number;
  /** Resolves when no connection is left. */
  readonly deserted: () => Promise<void>;
}

async function startAttacked(env: Record<string, string> = {}): Promise<Attacked> {
  let openCalls = 0;
  const upstream = await startUpstream((req, res) => {
    openCalls += 1;
    res.once('close', () => {
      openCalls -= 1;
    });
    req.resume().on('end', () => res.end(req.url === '/big' ? BIG : '{}'));
  });
  const server = await startTestServer({ ...IMPATIENT, OPENAI_BASE_URL: upstream, ...env });
  let open = 0;
  let seen = 0;
  server.server.on('connection', (socket) => {
    open += 1;
    seen += 1;
    socket.once('close', () => {
      open -= 1;
    });
  });
  return {
    server,
    seen: () => seen,
    openCalls: () => openCalls,
    deserted: () => until(() => open === 0 && openCalls === 0, 15_000),
  };
}

/** Others are served while the attack goes on: each as if nothing was. */
async function expectServed({ server }: Attacked): Promise<void> {
  const replies = await Promise.all(
    Array.from({ length: 5 }, () =>
      send(`${server.url}/models`, { headers: { connection: 'close' } }),
    ),
  );
  expect(replies.map(({ status, text }) => [status, text])).toEqual(replies.map(() => [200, '{}']));
}

describeWithSlowHttpTest('while clients are slow on purpose, others are served', () => {
  test.each([
    ['heads that never end', ['-H', '-x', '10'], '/models'],
    ['bodies that never end', ['-B', '-x', '10', '-s', '8192'], '/audio/transcriptions'],
    ['JSON that never ends', ['-B', '-x', '10', '-f', 'application/json'], '/chat/completions'],
  ])(
    '%s, and are let go in time',
    async (_what, args, path) => {
      const attacked = await startAttacked();
      const attack = startAttack(ATTACKERS, `${attacked.server.url}${path}`, [...args]);
      await until(() => attacked.seen() >= ATTACKERS / 2);
      await expectServed(attacked);
      await attack.ended;
      expect(attack.output).toContain('No open connections left');
      expect(new Set(availability(attack))).toEqual(new Set(['YES']));
      await attacked.deserted();
      await expectServed(attacked);
    },
    120_000,
  );

  test('answers that are hardly read, and are let go in time', async () => {
    const attacked = await startAttacked();
    const attack = startAttack(ATTACKERS, `${attacked.server.url}/big`, [
      '-X',
      '-n',
      '1',
      '-z',
      '32',
      '-w',
      '10',
      '-y',
      '20',
    ]);
    await until(() => attacked.seen() >= ATTACKERS / 2);
    await expectServed(attacked);
    // While it still holds on: with what has come it could go on for an hour.
    await until(() => attacked.openCalls() === 0 && attacked.server.proxy.inFlight === 0, 15_000);
    expect(attack.output).not.toContain('Exit status');
    expect(availability(attack)).not.toContain('NO');
    attack.kill('SIGKILL');
    await attack.ended;
    await attacked.deserted();
  }, 120_000);

  test('ranges without number, each of which is one request', async () => {
    const attacked = await startAttacked();
    const attack = startAttack(ATTACKERS, `${attacked.server.url}/models`, [
      '-R',
      '-a',
      '5',
      '-b',
      '3000',
    ]);
    await attack.ended;
    expect(attack.output).toContain('No open connections left');
    expect(availability(attack)).not.toContain('NO');
    await attacked.deserted();
    await expectServed(attacked);
  }, 120_000);

  test('more connections than there may be, as none of these has a request', async () => {
    const attacked = await startAttacked({
      MAX_CONNECTIONS: '20',
      HEADERS_TIMEOUT: '20',
      REQUEST_TIMEOUT: '20',
    });
    const attack = startAttack(ATTACKERS, `${attacked.server.url}/models`, ['-H', '-x', '10']);
    await until(() => attacked.seen() >= ATTACKERS);
    await expectServed(attacked);
    attack.kill('SIGKILL');
    await attack.ended;
    expect(availability(attack)).not.toContain('NO');
    await attacked.deserted();
  }, 120_000);
});
