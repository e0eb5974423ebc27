import { Router } from 'express';
import type { RequestHandler } from 'express';
import { sendError } from '../send-error.ts';
import { MOST_WATCHERS } from './feed.ts';
import type { StatusFeed } from './feed.ts';

/** The page, and the events that it lives on. */
export function statusRoutes(feed: StatusFeed, guard: RequestHandler): Router {
  const router = Router();

  router.get('/', guard, async (_req, res) => {
    // Its text is loaded when somebody wants it.
    const { HEADERS, HTML } = await import('./page.ts');
    res.set(HEADERS);
    res.end(HTML);
  });
  router.get('/events', guard, (req, res) => {
    if (feed.isClosed) {
      sendError(res, 503, 'draining', 'This server is shutting down.');
    } else if (req.method === 'HEAD') {
      res.setHeader('content-type', 'text/event-stream');
      res.end();
    } else if (feed.isFull || res.socket === null) {
      // Without a socket it waits behind another answer of its connection (pipelining), and would
      // never hear of its end.
      sendError(res, 503, 'too_many_watchers', `${MOST_WATCHERS} watch already: close a page.`);
    } else {
      feed.watch(res);
    }
  });
  return router;
}
