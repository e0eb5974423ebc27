import { afterEach } from '@jest/globals';
import { startServer } from '../../examples/server/start-server.ts';
import type { RunningServer } from '../../examples/server/start-server.ts';
import type { Env } from '../../examples/server/variables.ts';
import { createStandInVenice } from '../../examples/stand-in-venice.ts';
import type { StandInOptions, StandInVenice } from '../../examples/stand-in-venice.ts';

export interface TestServer extends RunningServer {
  /** Without the prefix. */
  readonly origin: string;
  readonly standIn: StandInVenice;
}

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});

/** The server of the environment in front of a stand-in; both are closed after the test. */
export async function startTestServer(
  env: Env = {},
  options: StandInOptions = {},
): Promise<TestServer> {
  const standIn = createStandInVenice({ tokenDelayMs: 1, ...options });
  const target = await standIn.listen();
  open.push(standIn);
  const running = await startServer(
    {
      HOST: '127.0.0.1',
      PORT: '0',
      OPENAI_BASE_URL: target,
      BASE_RETRY_DELAY: '0.001',
      DEBUG: '-venice-proxy:*',
      SHUTDOWN_GRACE: '0.2',
      ...env,
    },
    false,
  );
  open.push(running);
  return { ...running, origin: `http://127.0.0.1:${running.port}`, standIn };
}

export const CHAT = {
  model: 'llama-3.3-70b',
  messages: [{ role: 'user', content: 'Tell me of the sea.' }],
};
