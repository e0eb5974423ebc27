// The OpenAI SDK against the proxy, which is part of the same app here.
//
//   VENICE_API_KEY=… node dist/examples/openai-sdk.js "Why is the sky blue?"
//
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Express } from 'express';
import OpenAI from 'openai';
import { createVeniceProxy } from 'venice-proxy';
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
  for await (const chunk of stream) onWords(chunk.choices[0]?.delta.content ?? '');
}

if (isMain(import.meta.url)) {
  const server = createApp().listen(0, '127.0.0.1');
  server.once('listening', () => {
    const { port } = server.address() as AddressInfo;
    const client = new OpenAI({
      baseURL: `http://127.0.0.1:${port}/api/v1`,
      apiKey: process.env['VENICE_API_KEY'] ?? '',
    });
    ask(client, process.argv[2] ?? 'Why is the sky blue?', (words) => process.stdout.write(words))
      .catch((error: unknown) => console.error(error))
      .finally(() => server.close());
  });
}
