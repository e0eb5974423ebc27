import { writeHead } from './answer-head.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import { EventRelay, Relay } from './relay.ts';
import { relayAsEvents } from './relay-as-events.ts';
import type { RequestContext } from './request-context.ts';
import { StreamEnd } from './stream-end.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/** Gives the client the answer: its head with our notes, its body as it comes, its true end. */
export function relayAnswer({ idleMs }: Config): Step {
  return function relayAnswerOf(context) {
    const { answer } = context;
    // Without an answer the client has left, and nobody waits for anything.
    if (context.left || answer === undefined) return;
    context.phase = 'relaying';
    const isHeadOut = context.endHeartbeat();
    try {
      if (!isHeadOut) {
        writeHead(context, answer);
        relayBody(context, answer, idleMs);
        return;
      }
      const end = endOf(context, answer);
      relayAsEvents(context, answer, (source) => new EventRelay(context, source, idleMs, end));
    } catch (error) {
      answer.discard();
      throw error;
    }
  };
}

function relayBody(context: RequestContext, answer: UpstreamAnswer, idleMs: number): void {
  if (hasNoBody(context.method, answer.status)) {
    context.res.end();
    answer.discard();
    return;
  }
  const isReadable = answer.isEventStream && answer.isPlain;
  const relay = isReadable
    ? new EventRelay(context, answer, idleMs, endOf(context, answer))
    : new Relay(context, answer, idleMs);
  // Not corked: Node does so itself until the tick is over, and with `res.cork()` Node 22 and 24
  // send the last chunk in front of the second write.
  answer.consume(relay);
}

/** By what the end of this answer is known, where it is. */
function endOf({ route }: RequestContext, answer: UpstreamAnswer): StreamEnd | undefined {
  return answer.isEventStream && answer.status < 300 ? StreamEnd.of(route) : undefined;
}

/** RFC 9110 §6.4.1. */
function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}
