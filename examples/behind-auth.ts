// Users of your app reach Venice with a key of yours that they never see.
//
//   VENICE_API_KEY=… node dist/examples/behind-auth.js
//
import express from 'express';
import type { Express, Request } from 'express';
import { createVeniceProxy } from 'venice-proxy';
import type { VeniceProxyOptions } from 'venice-proxy';
import { isMain } from './is-main.ts';

/** Stands for whatever your app knows its users by: a session, a token, a certificate. */
export type Authenticate = (request: Request) => { veniceKey: string } | undefined;

export function createApp(authenticate: Authenticate, options: VeniceProxyOptions = {}): Express {
  const app = express();
  app.use('/api/v1', (req, res, next) => {
    const user = authenticate(req);
    if (user === undefined) {
      res.status(401).json({
        error: {
          message: 'Sign in first.',
          type: 'invalid_request_error',
          param: null,
          code: 'invalid_api_key',
        },
      });
      return;
    }
    res.locals['veniceKey'] = user.veniceKey;
    next();
  });
  app.use(
    '/api/v1',
    createVeniceProxy({
      ...options,
      // Goes upstream in the place of the user's own Authorization.
      apiKey: (req) => String(req.res?.locals['veniceKey']),
    }),
  );
  return app;
}

if (isMain(import.meta.url)) {
  const tokens = new Map([['token-of-ann', { veniceKey: process.env['VENICE_API_KEY'] ?? '' }]]);
  createApp((req) => tokens.get(req.get('authorization')?.replace('Bearer ', '') ?? '')).listen(
    3000,
  );
}
