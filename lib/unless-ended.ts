import type { RequestContext } from './request-context.ts';

/**
 * What a function of the app's brings, which may never settle: it is not waited for any longer when
 * the client leaves, or when the proxy ends the request by itself.
 */
export function unlessEnded<Value>(
  context: RequestContext,
  value: Value | Promise<Value>,
): Promise<Value> {
  const before = context.busyWith;
  return new Promise<Value>((resolve, reject) => {
    context.busyWith = {
      cancel(reason) {
        before?.cancel(reason);
        reject(reason ?? new Error('the client has left'));
      },
    };
    Promise.resolve(value).then(resolve, reject);
  }).finally(() => {
    context.busyWith = before;
  });
}
