// The proxy inside an app that has routes of its own.
//
//   node dist/examples/mount-in-app.js
//
// Then point an OpenAI client at http://localhost:3000/api/v1, with your Venice key.
import express from 'express';
import type { Express } from 'express';
import { createHealthCheck, createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import type { VeniceProxyOptions } from 'venice-proxy';
import { isMain } from './is-main.ts';

export function createApp(options: VeniceProxyOptions = {}): Express {
  const app = express();
  const proxy = createVeniceProxy({
    retries: 3,
    on: {
      retry: ({ request, reason, delayMs }) =>
        console.error(`${request.path} is tried again in ${delayMs} ms: ${reason}`),
    },
    ...options,
  });

  app.get('/', (_req, res) => {
    res.send('An app of your own. The Venice API is at /api/v1.');
  });
  app.get('/health', createHealthCheck(proxy));
  // In front of body parsers: what is not parsed here goes out byte for byte.
  app.use('/api/v1', proxy);
  app.use(express.json());
  app.post('/notes', (req, res) => {
    res.json({ noted: req.body as unknown });
  });
  return app;
}

if (isMain(import.meta.url)) {
  // Without `optionsFromEnv()` no variable counts: the defaults go to Venice.
  const server = createApp(optionsFromEnv()).listen(Number(process.env['PORT'] ?? 3000));
  server.once('listening', () => console.log('listening on', server.address()));
}
