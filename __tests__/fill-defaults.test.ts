import { describe, expect, test } from '@jest/globals';
import type { VeniceProxyOptions } from '../lib/index.ts';
import { startScene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

type Defaults = NonNullable<VeniceProxyOptions['defaults']>;

const DEFAULTS: Defaults = {
  '*': { temperature: 0.7, venice_parameters: { strip: true, search: 'off' } },
  'model-a': { temperature: 0.1, top_p: 1, venice_parameters: { search: 'on' } },
};

/** What arrives upstream of a body. */
async function arrived(
  body: string | Buffer,
  { defaults = DEFAULTS, path = '/chat/completions', ...options }: Partial<Options> = {},
): Promise<string> {
  const scene = await startScene({ defaults, ...options });
  const headers = { 'content-type': 'application/json' };
  await send(scene.baseUrl + path, { method: 'POST', headers, body });
  const [call] = scene.venice.calls;
  expect(call?.headers['content-length']).toBe(String(call?.body.length));
  return call?.body.toString('latin1') ?? '';
}

interface Options extends VeniceProxyOptions {
  readonly path: string;
}

const ALL = '"temperature":0.7,"venice_parameters":{"strip":true,"search":"off"}';

describe('defaults', () => {
  test.each([
    ['{"model":"m"}', `{"model":"m",${ALL}}`],
    ['{ "n" : 1.0 \n}\n', `{ "n" : 1.0,${ALL} \n}\n`],
    [' { } ', ` {${ALL} } `],
    ['{"n":"}"}', `{"n":"}",${ALL}}`],
  ])('are added behind what the client said, of which every byte stays: %s', async (body, all) => {
    expect(await arrived(body)).toBe(all);
  });

  test.each([
    ['{"temperature":null,"venice_parameters":{"search":"x", "strip" :0}}'],
    ['{"temp\\u0065rature":1,"venice_parameters":"none"}'],
    ['{"temperature":1,"venice_parameters":null}'],
    ['[1]'],
    ['{"temperature":'],
  ])('add nothing where the client said something, or no JSON object: %s', async (body) => {
    expect(await arrived(body)).toBe(body);
  });

  test.each([
    [
      '{"venice_parameters":{"search":"x" },"temperature":1}',
      '{"venice_parameters":{"search":"x","strip":true },"temperature":1}',
    ],
    [
      '{"venice_parameters":{},"temperature":1}',
      '{"venice_parameters":{"strip":true,"search":"off"},"temperature":1}',
    ],
    [
      '{"venice_parameters":{"a":1},"temperature":1,"venice_parameters":{"strip":0}}',
      '{"venice_parameters":{"a":1},"temperature":1,"venice_parameters":{"strip":0,"search":"off"}}',
    ],
  ])('are added inside of an object, too: %s', async (body, all) => {
    expect(await arrived(body)).toBe(all);
  });

  test('leave invalid UTF-8 as it is', async () => {
    const body = Buffer.concat([
      Buffer.from('{"venice_parameters":{"a":"'),
      Buffer.of(0xff),
      Buffer.from('"},"temperature":1}'),
    ]);
    expect(await arrived(body)).toBe(
      '{"venice_parameters":{"a":"\u00ff","strip":true,"search":"off"},"temperature":1}',
    );
  });

  test.each(['model-a', 'model-a:x=on'])('of the model itself count more: %s', async (model) => {
    const filled = '"temperature":0.1,"venice_parameters":{"strip":true,"search":"on"},"top_p":1';
    expect(await arrived(`{"model":"${model}"}`)).toBe(`{"model":"${model}",${filled}}`);
  });

  test('are those of the model behind an alias', async () => {
    const options = { models: { fast: 'm' }, defaults: { m: { n: 1 }, fast: { n: 2 } } };
    expect(await arrived('{"model":"fast"}', options)).toBe('{"model":"m","n":1}');
  });

  test('may name a model for who names none', async () => {
    const defaults = { '*': { model: 'm' } };
    expect(await arrived('{"n":1}', { defaults })).toBe('{"n":1,"model":"m"}');
  });

  test('without any for all models leave the other ones alone', async () => {
    const defaults = { 'model-a': { n: 1 } };
    for (const model of ['b', 'toString', 'model-ab']) {
      // oxlint-disable-next-line no-await-in-loop -- one proxy after another
      expect(await arrived(`{"model":"${model}"}`, { defaults })).toBe(`{"model":"${model}"}`);
    }
  });

  test.each([
    ['/responses', `{"n":1,${ALL}}`],
    ['/embeddings', '{"n":1}'],
    ['/image/generate', '{"n":1}'],
  ])('are for chat and responses: %s', async (path, all) => {
    expect(await arrived('{"n":1}', { path })).toBe(all);
  });

  test('come before parameters are dropped', async () => {
    const defaults = { '*': { logprobs: true, user: 'u' } };
    expect(await arrived('{"n":1}', { defaults })).toBe('{"n":1,"user":"u"}');
  });
});
