// The OpenAI SDK against the proxy, which is part of the same program here.
//
//   VENICE_API_KEY=… node dist/examples/openai-sdk.js "Why is the sky blue?"
//
import { once } from 'node:events';
import express from 'express';
import type { Express } from 'express';
import OpenAI from 'openai';
import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import type { VeniceProxyOptions } from 'venice-proxy';
import { isMain } from './is-main.ts';

export function createApp(options: VeniceProxyOptions = {}): Express {
  const app = express();
  app.use('/api/v1', createVeniceProxy(options));
  return app;
}

/** Asks, and hands over the answer's words as they come. */
export async function ask(
  client: OpenAI,
  question: string,
  onWords: (words: string) => void,
): Promise<void> {
  const stream = await client.chat.completions.create({
    model: 'llama-3.3-70b',
    messages: [{ role: 'user', content: question }],
    stream: true,
  });
  // A stream that breaks ends this loop with an error, never as if it were complete.
  for await (const chunk of stream) onWords(chunk.choices[0]?.delta.content ?? '');
}

if (isMain(import.meta.url)) {
  const apiKey = process.env['VENICE_API_KEY'] ?? '';
  if (apiKey === '') throw new Error('VENICE_API_KEY is not set');
  const server = createApp(optionsFromEnv()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const client = new OpenAI({
    // Always said: the SDK would look for it in OPENAI_BASE_URL, which is the proxy's target here.
    baseURL: `http://127.0.0.1:${port}/api/v1`,
    apiKey,
  });
  try {
    const question = process.argv[2] ?? 'Why is the sky blue?';
    await ask(client, question, (words) => process.stdout.write(words));
    process.stdout.write('\n');
  } finally {
    server.close();
  }
}
