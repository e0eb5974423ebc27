// Users of your app reach Venice with a key of yours that they never see.
//
//   VENICE_API_KEY=… node dist/examples/behind-auth.js
//
// Then point an OpenAI client at http://localhost:3000/api/v1, with the API key token-of-ann.
import express from 'express';
import type { Express, Request } from 'express';
import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import type { VeniceProxyOptions } from 'venice-proxy';
import { isMain } from './is-main.ts';

export interface User {
  readonly name: string;
  /** What goes upstream for this user: one for all, or one for each. */
  readonly veniceKey: string;
}

/** Stands for whatever your app knows its users by: a session, a token, a certificate. */
export type Authenticate = (request: Request) => User | undefined;

export function createApp(authenticate: Authenticate, options: VeniceProxyOptions = {}): Express {
  const app = express();
  const users = new WeakMap<Request, User>();

  const proxy = createVeniceProxy({
    ...options,
    // Takes the place of the user's own Authorization, which ends here.
    apiKey: (request) => users.get(request)?.veniceKey,
  });

  app.use('/api/v1', (request, response, next) => {
    const user = authenticate(request);
    if (user === undefined) {
      // The shape in which OpenAI clients look for the message.
      const message = 'Sign in first.';
      const type = 'invalid_request_error';
      response.status(401).json({ error: { message, type, param: null, code: 'signed_out' } });
      return;
    }
    users.set(request, user);
    next();
  });
  app.use('/api/v1', proxy);
  return app;
}

if (isMain(import.meta.url)) {
  const { apiKey, ...options } = optionsFromEnv();
  if (typeof apiKey !== 'string') throw new Error('VENICE_API_KEY is not set');
  const tokens = new Map([['Bearer token-of-ann', { name: 'Ann', veniceKey: apiKey }]]);
  const app = createApp((request) => tokens.get(request.get('authorization') ?? ''), options);
  const server = app.listen(Number(process.env['PORT'] ?? 3000));
  server.once('listening', () => console.log('listening on', server.address()));
}
