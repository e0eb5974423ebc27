import { isPlain } from './decode-body.ts';
import { callHook } from './hooks.ts';
import type { UsageEvent } from './hooks.ts';
import type { RequestContext } from './request-context.ts';
import type { AnswerWatcher, UpstreamAnswer } from './upstream-answer.ts';
import { BodyTail } from './usage.ts';

/** Tells, when an answer is over, what it said of its tokens. */
export function watchUsage(
  context: RequestContext,
  answer: UpstreamAnswer,
  onUsage: (event: UsageEvent) => void,
): void {
  if (answer.status !== 200 || !(answer.isJson || answer.isEventStream)) return;
  const coding = answer.headers['content-encoding'];
  answer.watcher = new UsageWatch(context, isPlain(coding) ? undefined : coding, onUsage);
}

class UsageWatch extends BodyTail implements AnswerWatcher {
  readonly #context: RequestContext;
  readonly #onUsage: (event: UsageEvent) => void;

  constructor(
    context: RequestContext,
    coding: string | undefined,
    onUsage: (event: UsageEvent) => void,
  ) {
    super(coding);
    this.#context = context;
    this.#onUsage = onUsage;
  }

  end(): void {
    const usage = this.usage();
    if (usage === undefined) return;
    const { inputTokens, outputTokens, totalTokens } = usage;
    const request = this.#context.info();
    callHook(this.#onUsage, { request, inputTokens, outputTokens, totalTokens });
  }
}
