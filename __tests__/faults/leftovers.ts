import { channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import http from 'node:http';
import type { Agent, ClientRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 3_000;

/** Every agent that has carried a call since `watchAgents`. */
const agents = new Set<Agent>();

/** Finds the agents that nobody else can get hold of. */
export function watchAgents(): () => void {
  const started = channel('http.client.request.start');
  started.subscribe(onStart);
  return () => started.unsubscribe(onStart);
}

function onStart(message: unknown): void {
  const { request } = message as { readonly request: ClientRequest & { agent?: Agent } };
  if (request.agent instanceof http.Agent) agents.add(request.agent);
}

/** The agents since the last look, without those that go with their request. */
export function agentsSeen(): Agent[] {
  const seen = [...agents].filter((agent) => keepsConnections(agent));
  agents.clear();
  return seen;
}

/** Node's declarations know nothing of the options that each agent keeps. */
function keepsConnections(agent: Agent): boolean {
  return 'keepAlive' in agent && agent.keepAlive === true;
}

/** Connections that no request uses. */
export function idleConnections(seen: readonly Agent[]): number {
  return seen.flatMap(({ freeSockets }) => Object.values(freeSockets)).flat().length;
}

/** Connections that a request uses, and requests that wait for one. */
export function busyConnections(seen: readonly Agent[]): number {
  return seen
    .flatMap(({ sockets, requests }) => [...Object.values(sockets), ...Object.values(requests)])
    .flat().length;
}

/** How many listeners there are, by event. */
export function listenersOf(emitter: EventEmitter): Record<string, number> {
  return Object.fromEntries(
    emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]),
  );
}

/** What keeps the process alive, by kind. */
function resources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** The fewest that were ever seen within a test: what the runner itself needs comes and goes. */
let fewest: Map<string, number> | undefined;

/** Timers, sockets and servers beyond the fewest that there were; the first call sees none. */
export function newResources(): Record<string, number> {
  const now = resources();
  fewest ??= new Map(now);
  for (const [name, count] of fewest) fewest.set(name, Math.min(count, now.get(name) ?? 0));
  return Object.fromEntries(
    [...now]
      .map(([name, count]) => [name, count - (fewest?.get(name) ?? 0)] as const)
      .filter(([, more]) => more > 0),
  );
}

/** Waits a little until there is no more of anything than there was; tells what there is. */
export async function settled<T>(count: () => T, wanted: T): Promise<T> {
  const want = JSON.stringify(wanted);
  const begunAt = performance.now();
  let there = count();
  while (JSON.stringify(there) !== want && performance.now() - begunAt < PATIENCE_MS) {
    // oxlint-disable-next-line no-await-in-loop -- looks again and again
    await sleep(1);
    there = count();
  }
  return there;
}
