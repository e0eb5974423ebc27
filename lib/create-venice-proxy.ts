import { Router } from 'express';
import { admitRequest, createPseudonym } from './admit-request.ts';
import { aliasModel, knownModels } from './alias-model.ts';
import { captureBody } from './capture-body.ts';
import { confinePath } from './confine-path.ts';
import { explainErrors } from './explain-errors.ts';
import { fillDefaults } from './fill-defaults.ts';
import { forward } from './forward.ts';
import { shareHealing } from './healing.ts';
import { startHeartbeat } from './heartbeat.ts';
import { mountStraight } from './mount-straight.ts';
import { ollamaSteps } from './ollama/ollama-steps.ts';
import { resolveOptions } from './options.ts';
import type { VeniceProxyOptions } from './options.ts';
import { ownRewrites } from './own-rewrites.ts';
import { pipeline } from './pipeline.ts';
import { ProxyState } from './proxy-state.ts';
import type { VeniceProxy } from './proxy-state.ts';
import { RateGate } from './rate-gate/rate-gate.ts';
import { relayAnswer } from './relay-answer.ts';
import { rewriteBody } from './rewrite-body.ts';
import { transformAnswer } from './transform-answer.ts';
import { createUpstream } from './upstream.ts';

/**
 * An Express router that forwards what stands behind its mount path to the Venice API: with
 * retries, with waits for rate limits, without the parameters that Venice refuses, and with
 * streams that never end as if they were complete when they are not.
 *
 * @example
 * ```ts
 * app.use('/api/v1', createVeniceProxy());
 * ```
 *
 * It reads no environment (see `optionsFromEnv`), and makes no upstream call that no client asked
 * for. Errors of its own are answered in OpenAI's shape and never reach the app's error handler.
 *
 * @param options - all optional; checked here, once
 * @throws TypeError that names the option, its value and what is allowed
 */
export function createVeniceProxy(options: VeniceProxyOptions = {}): VeniceProxy {
  const config = resolveOptions(options);
  const state = new ProxyState();
  const pseudonym = createPseudonym();
  const gate = config.rateLimit ? new RateGate(config) : undefined;
  const healing = shareHealing(config);
  const known = knownModels(config);
  const ollama = config.ollama ? ollamaSteps(config) : undefined;
  const router = Router();

  mountStraight(
    router,
    pipeline(config, state, [
      ...(ollama ? [ollama.open] : []),
      admitRequest(state, pseudonym),
      confinePath(config),
      captureBody(config),
      ...(ollama ? [ollama.translate] : []),
      ...ownRewrites(config),
      ...aliasModel(config, known),
      ...fillDefaults(config),
      rewriteBody(config),
      startHeartbeat(config),
      forward(config, state, createUpstream(config), gate, healing, pseudonym),
      explainErrors(config, known),
      ...(ollama ? [ollama.tell] : []),
      transformAnswer,
      relayAnswer(config),
    ]),
  );

  return withState(router, config.target.href, state, gate);
}

function withState(
  router: Router,
  target: string,
  state: ProxyState,
  gate: RateGate | undefined,
): VeniceProxy {
  // `defineProperties` has no type for what it adds.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.defineProperties(router, {
    target: { value: target, enumerable: true },
    inFlight: { get: () => state.inFlight, enumerable: true },
    lastHeard: { get: () => state.lastHeard, enumerable: true },
    draining: { get: () => state.draining, enumerable: true },
    requests: { value: () => state.requests() },
    buckets: { value: () => gate?.buckets() ?? [] },
    drain: { value: (graceMs?: number) => state.drain(graceMs) },
  }) as VeniceProxy;
}
