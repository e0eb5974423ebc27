import OpenAI from 'openai';
import type { ClientOptions } from 'openai';
import type { StandInOptions } from '../../examples/stand-in-venice.ts';
import type { VeniceProxyOptions } from '../../lib/index.ts';
import { startScene } from './scene.ts';
import type { Scene } from './scene.ts';

/** The OpenAI SDK in front of a base URL; it tries once unless told. */
export function sdkFor(baseURL: string, options: ClientOptions = {}): OpenAI {
  return new OpenAI({ apiKey: 'sdk-key', maxRetries: 0, ...options, baseURL });
}

export interface SdkScene extends Scene {
  /** The SDK in front of the proxy. */
  readonly client: OpenAI;
  /** The SDK in front of the stand-in. */
  readonly direct: OpenAI;
}

export interface SdkSetUp {
  readonly proxy?: Omit<VeniceProxyOptions, 'target' | 'on'>;
  readonly standIn?: StandInOptions;
  readonly client?: ClientOptions;
}

/** The OpenAI SDK in front of a recorded proxy in front of a stand-in. */
export async function startSdk({ proxy, standIn, client }: SdkSetUp = {}): Promise<SdkScene> {
  const scene = await startScene(proxy, { resetFormat: 'milliseconds', ...standIn });
  return {
    ...scene,
    client: sdkFor(scene.baseUrl, client),
    direct: sdkFor(scene.target, client),
  };
}
