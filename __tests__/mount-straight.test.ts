import type http from 'node:http';
import { describe, expect, test } from '@jest/globals';
import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import { mountStraight } from '../lib/mount-straight.ts';
import { closeAfterTest } from './helpers/scene.ts';
import { EXPRESSES, listen, send } from './helpers/serve.ts';

async function serve(handler: http.RequestListener): Promise<string> {
  const running = await listen(handler);
  closeAfterTest(() => running.close());
  return running.origin;
}

const tellAddresses: RequestHandler = ({ originalUrl, baseUrl, url }, res) => {
  res.json({ originalUrl, baseUrl, url });
};

const tellError: ErrorRequestHandler = (error, _req, res, _next) => {
  res.end(String(error));
};

const endOfAll: unknown = () => {};

const nextOf = (req: Request): unknown => req.next;

describe.each(EXPRESSES)(
  'a handler that is mounted straight in a router of %s',
  (_name, express) => {
    test('is reached without anything of the router', async () => {
      const router = express.Router();
      const app = express();
      const seen: unknown[] = [];
      mountStraight(router, (req, res) => {
        seen.push(nextOf(req));
        res.end();
      });
      app.use((req, _res, next) => {
        seen.push(nextOf(req));
        next();
      });
      app.use('/api', router);
      await send(`${await serve(app)}/api/models`);
      expect(seen).toHaveLength(2);
      expect(seen[1]).toBe(seen[0]);
    });

    test('sees the addresses that the app gives', async () => {
      const router = express.Router();
      const app = express();
      mountStraight(router, tellAddresses);
      app.use('/api', express.Router().use('/v1', router));
      expect((await send(`${await serve(app)}/api/v1/models?a=1`)).text).toBe(
        JSON.stringify({
          originalUrl: '/api/v1/models?a=1',
          baseUrl: '/api/v1',
          url: '/models?a=1',
        }),
      );
    });

    test('has the addresses without an app, too', async () => {
      const router = express.Router();
      mountStraight(router, ({ originalUrl, baseUrl }, res) => {
        res.end(`${originalUrl} ${JSON.stringify(baseUrl)}`);
      });
      const origin = await serve((req, res) => {
        Reflect.apply(router, undefined, [req, res, endOfAll]);
      });
      expect((await send(`${origin}/models`)).text).toBe('/models ""');
    });

    test('fails as any other does', async () => {
      const router = express.Router();
      const app = express();
      mountStraight(router, () => {
        throw new Error('out of order');
      });
      app.use('/api', router);
      app.use(tellError);
      expect((await send(`${await serve(app)}/api/models`)).text).toBe('Error: out of order');
    });

    test('shares the router with what is mounted later', async () => {
      const router = express.Router();
      mountStraight(router, (_req, _res, next) => next());
      router.use(tellAddresses);
      expect((await send(`${await serve(express().use(router))}/models`)).status).toBe(200);
    });
  },
);
