import { createLog } from './debug.ts';
import type { AnswerEvent } from './hooks.ts';

const log = createLog('request-log');

/** For whom nobody listens, no event need be made. */
export function isRequestLogOn(): boolean {
  return log.isOn();
}

/** One line a request, when it has ended; `hint` is what helps with its error. */
export function logRequest(event: AnswerEvent, hint: string | undefined): void {
  if (!log.isOn()) return;
  const { request } = event;
  log(`${request.method} ${request.path}`, {
    id: request.id,
    model: request.model,
    status: event.status,
    outcome: event.outcome,
    code: event.code,
    attempts: event.attempts,
    waitedMs: event.waitedMs,
    firstByteMs: event.firstByteMs,
    totalMs: event.totalMs,
    dropped: event.dropped.length === 0 ? undefined : event.dropped.join(','),
    hint,
  });
}
