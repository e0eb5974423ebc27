import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ROOT, startProgram } from '../helpers/program.ts';
import { closeAfterTest } from '../helpers/scene.ts';
import { send } from '../helpers/serve.ts';
import { CHAT, startTestServer } from '../helpers/start-test-server.ts';

const page = await readFile(path.join(ROOT, 'docs/clients.md'), 'utf8');
const SERVER = 'http://localhost:9000';
const ANSWER = 'The stand-in for Venice heard: Why is the sky blue?';

function blocksOf(language: string): string[] {
  const blocks = page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'));
  return [...blocks].map(([, block = '']) => block);
}

const start = () => startTestServer({ VENICE_API_KEY: 'operators-key' });

/** A module in a folder where what this package has installed is installed, too. */
async function writeModule(text: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'venice-proxy-clients-'));
  closeAfterTest(() => rm(folder, { recursive: true, force: true }));
  await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  const file = path.join(folder, 'snippet.mjs');
  await writeFile(file, text);
  return file;
}

describe('on the page of clients', () => {
  const snippets = blocksOf('js').map((block) => {
    const [, from = ''] = /from '([^']+)';\n\n/.exec(block) ?? [];
    return [from, block] as const;
  });

  test('there is a snippet for each client that the tests run', () => {
    expect(snippets.map(([from]) => from)).toEqual([
      'openai',
      'ai',
      'venice-ai-sdk-provider',
      '@langchain/openai',
      'ollama',
    ]);
  });

  test.each(snippets)('the snippet of %s runs', async (_from, block) => {
    const { origin } = await start();
    const program = startProgram(process.execPath, [
      await writeModule(block.replaceAll(SERVER, origin)),
    ]);
    closeAfterTest(() => {
      program.kill('SIGKILL');
      return program.ended;
    });
    expect([await program.ended, program.output.trim()]).toEqual([0, ANSWER]);
  });

  test('each address is one at which the server answers', async () => {
    const { origin } = await start();
    const addresses = page.match(/http:\/\/(?:localhost|venice-proxy):9000[\w/]*/g) ?? [];
    const places = new Set(addresses.map((address) => address.replace(/^http:\/\/[^/]*/, '')));
    expect([...places].toSorted()).toEqual(['', '/api/v1', '/api/v1/chat/completions', '/v1']);
    for (const place of places) {
      const body = place.endsWith('/completions') ? CHAT : undefined;
      // oxlint-disable-next-line no-await-in-loop -- four
      expect([place, (await send(origin + place, { body })).status]).toEqual([place, 200]);
    }
  });

  test('the line of curl gets an answer', async () => {
    const { origin } = await start();
    const [line = ''] = blocksOf('sh');
    const url = /curl http:\/\/localhost:9000(\S+)/.exec(line)?.[1] ?? '';
    const body = JSON.parse(/-d '([^']+)'/.exec(line)?.[1] ?? 'null') as object;
    const reply = await send(origin + url, { body });
    expect([reply.status, reply.text]).toEqual([200, expect.stringContaining(ANSWER)]);
  });

  test('what is JSON can be read', () => {
    const blocks = blocksOf('json');
    expect(blocks).toHaveLength(3);
    for (const block of blocks) expect(() => JSON.parse(block) as unknown).not.toThrow();
  });
});
