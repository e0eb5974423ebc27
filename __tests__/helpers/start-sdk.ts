import { EventEmitter, once } from 'node:events';
import { afterEach } from '@jest/globals';
import OpenAI from 'openai';
import type { ClientOptions } from 'openai';
import { createStandInVenice } from '../../examples/stand-in-venice.ts';
import type { StandInOptions, StandInVenice } from '../../examples/stand-in-venice.ts';
import type { AnswerEvent, ProxyHooks, RetryEvent, VeniceProxyOptions } from '../../lib/index.ts';
import { startProxy } from './serve.ts';
import type { RunningProxy } from './serve.ts';

const open: { close(): Promise<void> }[] = [];

/** Closes it after the test. */
export function closeAfterTest<Running extends { close(): Promise<void> }>(
  running: Running,
): Running {
  open.push(running);
  return running;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((running) => running.close()));
});

export interface RunningStandIn {
  readonly standIn: StandInVenice;
  /** Its base URL. */
  readonly target: string;
}

/** A stand-in that listens, and is closed after the test. */
export async function startStandIn(options: StandInOptions = {}): Promise<RunningStandIn> {
  const standIn = createStandInVenice({ tokenDelayMs: 1, resetFormat: 'milliseconds', ...options });
  const target = await standIn.listen();
  closeAfterTest(standIn);
  return { standIn, target };
}

export interface Sdk extends RunningStandIn {
  readonly proxy: RunningProxy;
  /** The SDK in front of the proxy. */
  readonly client: OpenAI;
  /** The SDK in front of the stand-in. */
  readonly direct: OpenAI;
  /** What the hooks were told. */
  readonly retries: RetryEvent[];
  /** All requests that have ended, as soon as there are so many of them. */
  readonly answered: (count: number) => Promise<readonly AnswerEvent[]>;
}

export interface SdkSetUp {
  standIn?: StandInOptions;
  proxy?: VeniceProxyOptions;
  client?: ClientOptions;
  onRetry?: () => void;
}

/** The OpenAI SDK in front of the proxy in front of a stand-in; it tries once unless told. */
export async function startSdk(setUp: SdkSetUp = {}): Promise<Sdk> {
  const { standIn, target } = await startStandIn(setUp.standIn);
  const retries: RetryEvent[] = [];
  const answers: AnswerEvent[] = [];
  const ended = new EventEmitter();
  const on: ProxyHooks = {
    retry(event) {
      retries.push(event);
      setUp.onRetry?.();
    },
    answer(event) {
      answers.push(event);
      ended.emit('answer');
    },
  };
  const proxy = closeAfterTest(await startProxy({ target, on, ...setUp.proxy }));
  const options: ClientOptions = { apiKey: 'sdk-key', maxRetries: 0, ...setUp.client };
  return {
    standIn,
    target,
    proxy,
    client: new OpenAI({ ...options, baseURL: proxy.baseUrl }),
    direct: new OpenAI({ ...options, baseURL: target }),
    retries,
    async answered(count) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      while (answers.length < count) await once(ended, 'answer');
      return answers;
    },
  };
}
