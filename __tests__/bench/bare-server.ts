// What users would write without the package: Express with plain http-proxy-middleware, alone in a
// process, on the port that the environment names.
import { Agent } from 'node:http';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';

const app = express();
app.use(
  '/api/v1',
  createProxyMiddleware({
    target: String(process.env['OPENAI_BASE_URL']),
    changeOrigin: true,
    agent: new Agent({ keepAlive: true, maxSockets: Infinity }),
  }),
);
app.listen(Number(process.env['PORT']), '127.0.0.1');
