import type { AnswerEvent, RequestInfo } from '../../lib/hooks.ts';

/** A request as hooks are told of it. */
export const CHAT_INFO: RequestInfo = {
  id: '1',
  method: 'POST',
  path: '/chat/completions',
  model: 'm',
  stream: false,
};

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
