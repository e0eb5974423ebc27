import type { AnswerEvent, RequestInfo } from '../../lib/hooks.ts';

/** What hooks are told of a request that ended well. */
export function answeredEvent(request: RequestInfo): AnswerEvent {
  return {
    request,
    status: 200,
    outcome: 'answered',
    code: undefined,
    attempts: 1,
    waitedMs: 0,
    firstByteMs: 1,
    totalMs: 2,
    dropped: [],
  };
}
