import { Agent } from 'node:http';
import express from 'express';
import type { Express } from 'express';
import { createProxyMiddleware, fixRequestBody, responseInterceptor } from 'http-proxy-middleware';

/** What Venice refuses, out of the parsed body. */
const DROPPED = ['prompt_cache_key', 'logprobs', 'top_logprobs'];

interface EmbeddingsAnswer {
  readonly data: { embedding: readonly number[] | string }[];
}

/**
 * What one writes at first for a parameter that the upstream refuses, and for base64: bodies are
 * parsed and put together again, answers are collected and changed.
 */
export function createNaiveApp(target: string): Express {
  const app = express();
  app.use(express.json({ limit: '50mb' }));
  app.use('/api/v1', (req, res, next) => {
    const body: unknown = req.body;
    if (typeof body === 'object' && body !== null) {
      for (const name of DROPPED) Reflect.deleteProperty(body, name);
      if (Reflect.get(body, 'encoding_format') === 'base64') {
        Reflect.set(body, 'encoding_format', 'float');
        res.locals['wantsBase64'] = true;
      }
    }
    next();
  });
  app.use(
    '/api/v1',
    createProxyMiddleware({
      target,
      changeOrigin: true,
      agent: new Agent({ keepAlive: true, maxSockets: Infinity }),
      selfHandleResponse: true,
      on: {
        proxyReq: fixRequestBody,
        proxyRes: responseInterceptor(async (answer, _proxyRes, _req, res) =>
          (res as express.Response).locals['wantsBase64'] === true ? toBase64(answer) : answer,
        ),
      },
    }),
  );
  return app;
}

function toBase64(answer: Buffer): string {
  const parsed = JSON.parse(answer.toString()) as EmbeddingsAnswer;
  for (const each of parsed.data) {
    if (typeof each.embedding === 'string') continue;
    each.embedding = Buffer.from(Float32Array.from(each.embedding).buffer).toString('base64');
  }
  return JSON.stringify(parsed);
}
