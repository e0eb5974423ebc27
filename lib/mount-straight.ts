import type { Request, RequestHandler, Response, Router } from 'express';

type Next = Parameters<RequestHandler>[2];

/**
 * Mounts a handler in a router and lets requests of an Express app go straight to it, as long as
 * it is the only one there. A router keeps functions for each request to get from one handler to
 * the next: some 700 bytes for each of the thousands that may wait at once.
 */
export function mountStraight(router: Router, handler: RequestHandler): void {
  router.use(handler);
  const [only] = router.stack;
  const handle: unknown = Reflect.get(router, 'handle');
  if (typeof handle !== 'function') return;
  const value = (req: Request, res: Response, next: Next): void => {
    const isAlone = router.stack.length === 1 && router.stack[0] === only;
    if (isAlone && isInApp(req)) void handler(req, res, next);
    else Reflect.apply(handle, router, [req, res, next]);
  };
  Object.defineProperty(router, 'handle', { value });
}

/** Without an app it is the router that gives a request its addresses. */
function isInApp(req: Partial<Pick<Request, 'baseUrl' | 'originalUrl'>>): boolean {
  return req.baseUrl !== undefined && req.originalUrl !== undefined;
}
