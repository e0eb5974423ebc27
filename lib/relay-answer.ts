import { writeHead } from './answer-head.ts';
import { changesEvents } from './answer-transform.ts';
import { DecodedAnswer } from './decode-answer.ts';
import type { BodySource } from './decode-answer.ts';
import { createDecoder } from './decode-body.ts';
import { hasNoBody } from './headers.ts';
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
      relayAsEvents(context, answer, (source) => eventRelay(context, answer, source, idleMs));
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
  if (!answer.isPlain && changesEvents(context, answer)) {
    relayDecoded(context, answer, idleMs);
    return;
  }
  const isReadable = answer.isEventStream && answer.isPlain;
  const relay = isReadable
    ? eventRelay(context, answer, answer, idleMs)
    : new Relay(context, answer, idleMs);
  // Not corked: Node does so itself until the tick is over, and with `res.cork()` Node 22 and 24
  // send the last chunk in front of the second write.
  answer.consume(relay);
}

/** What is to be changed and came in a coding, although none was wanted. */
function relayDecoded(context: RequestContext, answer: UpstreamAnswer, idleMs: number): void {
  const decoder = createDecoder(answer.headers['content-encoding']);
  if (decoder === undefined) return;
  const decoded = new DecodedAnswer(answer, decoder);
  context.res.once('close', () => decoded.discard());
  decoded.consume(eventRelay(context, answer, decoded, idleMs));
}

function eventRelay(
  context: RequestContext,
  answer: UpstreamAnswer,
  source: BodySource,
  idleMs: number,
): EventRelay {
  const transform = changesEvents(context, answer) ? context.transform : undefined;
  return new EventRelay(context, source, idleMs, endOf(context, answer), transform);
}

/** By what the end of this answer is known, where it is. */
function endOf({ route }: RequestContext, answer: UpstreamAnswer): StreamEnd | undefined {
  return answer.isEventStream && answer.status < 300 ? StreamEnd.of(route) : undefined;
}
