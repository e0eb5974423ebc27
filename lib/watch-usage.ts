import { isPlain } from './decode-body.ts';
import { callHook } from './hooks.ts';
import type { UsageEvent } from './hooks.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';
import { BodyTail } from './usage.ts';

/** Tells, when an answer is over, what it said of its tokens. */
export function watchUsage(
  context: RequestContext,
  answer: UpstreamAnswer,
  onUsage: (event: UsageEvent) => void,
): void {
  if (answer.status !== 200 || !(answer.isJson || answer.isEventStream)) return;
  const coding = answer.headers['content-encoding'];
  const tail = new BodyTail(isPlain(coding) ? undefined : coding);
  answer.watcher = {
    push: (chunk) => tail.push(chunk),
    end() {
      const usage = tail.usage();
      if (usage !== undefined) callHook(onUsage, { request: context.info(), ...usage });
    },
  };
}
