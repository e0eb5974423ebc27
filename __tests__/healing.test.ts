import { format } from 'node:util';
import { describe, expect, jest, test } from '@jest/globals';
import createDebug from 'debug';
import { CHAT, chat, closeAfterTest, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { refusedNulls, startStrict, told, unknown } from './helpers/strict-upstream.ts';
import type { Members } from './helpers/strict-upstream.ts';

const DROPPED = 'x-venice-proxy-dropped';
const WAIT = 'x-venice-proxy-wait';

const nullsIn = (body: Members) =>
  Object.entries(body).flatMap(([name, value]) => (value === null ? [name] : []));

function post({ baseUrl }: { baseUrl: string }, body: string, path = '/chat/completions') {
  const headers = { 'content-type': 'application/json' };
  return send(baseUrl + path, { method: 'POST', headers, body });
}

function bodiesOf({ venice }: Scene): unknown[] {
  return venice.calls.map(({ body }) => JSON.parse(body.toString()) as unknown);
}

function dropsOf({ recorder }: Pick<Scene, 'recorder'>): (readonly string[])[] {
  return recorder.seen.flatMap((event) => (event.hook === 'drop' ? [event.params] : []));
}

/** The log lines of one namespace. */
function record(name: string): string[] {
  const written: string[] = [];
  const { log } = createDebug;
  createDebug.log = (...args: unknown[]) => void written.push(format(...args));
  createDebug.enable(`venice-proxy:${name}`);
  closeAfterTest(() => {
    createDebug.disable();
    createDebug.log = log;
  });
  return written;
}

/** Names one member of those that it refuses. */
function oneByOne(...names: string[]) {
  return (body: Members) => {
    const name = names.find((each) => each in body);
    return name === undefined
      ? undefined
      : { error: `Extra inputs are not permitted, field: '${name}', value: 'x'` };
  };
}

describe('a member that the upstream does not know', () => {
  test.each(['zod', 'extra'] as const)('goes, and the request goes again: %s', async (shape) => {
    const scene = await startScene({ retries: 0 }, { refuseFields: { thinking: shape } });
    const reply = await chat(scene, { thinking: { budget: 1 } });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'thinking' });
    expect(bodiesOf(scene)).toEqual([{ ...CHAT, thinking: { budget: 1 } }, CHAT]);
    expect(dropsOf(scene)).toEqual([['thinking']]);
    expect(scene.recorder.attempts).toBe(2);
    expect(scene.recorder.retries).toEqual([]);
    const event = await scene.recorder.ended();
    expect(event).toMatchObject({ attempts: 2, waitedMs: 0, dropped: ['thinking'] });
  });

  test('is dropped beforehand from then on, for that model on that route only', async () => {
    const scene = await startScene({}, { refuseFields: { thinking: 'zod' } });
    await chat(scene, { thinking: 1 });
    const next = await chat(scene, { model: `${CHAT.model}:enable_web_search=on`, thinking: 2 });
    expect(told(next)).toEqual({ status: 200, attempts: '1', dropped: 'thinking' });
    const without = await chat(scene);
    expect(told(without)).toEqual({ status: 200, attempts: '1', dropped: undefined });
    const calls = scene.venice.calls.length;
    scene.venice.configure({ refuseFields: {} });
    const other = await chat(scene, { model: 'qwen3-4b', thinking: 3 });
    expect(told(other)).toEqual({ status: 200, attempts: '1', dropped: undefined });
    const elsewhere = await post(
      scene,
      '{"model":"llama-3.3-70b","input":"x","thinking":4}',
      '/responses',
    );
    expect(elsewhere.headers[DROPPED]).toBeUndefined();
    expect(bodiesOf(scene).slice(calls)).toMatchObject([{ thinking: 3 }, { thinking: 4 }]);
  });

  test.each([
    'thinking',
    'enable_thinking',
    'user',
    'safety_identifier',
    'prompt_cache_key',
    'prompt_cache_retention',
    'service_tier',
    'logprobs',
    'top_logprobs',
    'metadata',
    'prediction',
    'mine',
  ])('goes when the request means the same without: %s', async (name) => {
    const scene = await startScene(
      { dropParams: [], learnableParams: ['mine'] },
      { refuseFields: { [name]: 'zod' } },
    );
    const reply = await chat(scene, { [name]: 'x' });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: name });
  });

  test.each(['functions', 'response_format', 'store', 'tools', 'messages', 'model', 'mine'])(
    'stays when it may change the meaning, and so does the 400: %s',
    async (name) => {
      const scene = await startScene({}, { refuseFields: { [name]: 'zod' } });
      const body = JSON.stringify({ ...CHAT, [name]: 'x' });
      const direct = await send(`${scene.target}/chat/completions`, {
        body: JSON.parse(body) as object,
      });
      const reply = await post(scene, body);
      expect(told(reply)).toEqual({ status: 400, attempts: '1', dropped: undefined });
      expect(reply.text).toBe(direct.text);
      expect(scene.venice.calls).toHaveLength(2);
      expect(scene.venice.calls[1]?.body.toString()).toBe(body);
    },
  );

  test('goes when it is null, whatever it is called', async () => {
    const scene = await startScene({}, { refuseFields: { functions: 'zod' } });
    const reply = await chat(scene, { functions: null });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'functions' });
    const next = await chat(scene, { functions: [] });
    expect(told(next)).toEqual({ status: 400, attempts: '1', dropped: undefined });
  });

  test('stays together with one that has to, as the request would be refused again', async () => {
    const scene = await startStrict((body) =>
      'store' in body ? unknown('user', 'store') : undefined,
    );
    const reply = await post(scene, '{"user":"me","store":true}');
    expect(told(reply)).toEqual({ status: 400, attempts: '1', dropped: undefined });
    expect(scene.bodies).toHaveLength(1);
  });

  test('stays when something else is wrong, too', async () => {
    const scene = await startStrict(() => ({
      details: { ...unknown('user').details, messages: { _errors: ['Required'] } },
    }));
    const reply = await post(scene, '{"user":"me"}');
    expect(told(reply)).toEqual({ status: 400, attempts: '1', dropped: undefined });
  });

  test('goes each time that it is there, and nothing inside of others does', async () => {
    const scene = await startStrict((body) => ('user' in body ? unknown('user') : undefined));
    const reply = await post(
      scene,
      ' {"user":1, "n":1.0,"metadata":{"user":"a"},\n"us\\u0065r":2,"m":[{"user":3}] , "user":null}\n',
    );
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'user' });
    expect(scene.bodies[1]).toBe(' { "n":1.0,"metadata":{"user":"a"}\n,"m":[{"user":3}]  }\n');
    expect(scene.lengths[1]).toBe(String(scene.bodies[1]?.length));
  });

  test('that is not there changes nothing', async () => {
    const scene = await startStrict(() => unknown('user', 'thinking'));
    const reply = await post(scene, '{"messages":[{"user":1}]}');
    expect(told(reply)).toEqual({ status: 400, attempts: '1', dropped: undefined });
  });

  test('that was dropped anyway is told once', async () => {
    const scene = await startScene({}, { refuseFields: { logprobs: 'zod', user: 'zod' } });
    const reply = await chat(scene, { logprobs: true, user: 'me' });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'logprobs, user' });
    expect(dropsOf(scene)).toEqual([['logprobs'], ['user']]);
  });
});

describe('a null that the upstream refuses', () => {
  test('goes, and goes beforehand from then on; any other value stays', async () => {
    const scene = await startStrict((body) => {
      const nulls = nullsIn(body);
      return nulls.length > 0 ? refusedNulls(...nulls) : undefined;
    });
    const first = await post(scene, '{"max_completion_tokens":null,"stop":null,"n":1}');
    expect(told(first)).toMatchObject({ attempts: '2', dropped: 'max_completion_tokens, stop' });
    const second = await post(scene, '{"max_completion_tokens":5,"stop":null}');
    expect(told(second)).toEqual({ status: 200, attempts: '1', dropped: 'stop' });
    expect(scene.bodies.slice(1)).toEqual(['{"n":1}', '{"max_completion_tokens":5}']);
  });

  test('of several values counts when it is the last: then all of them go', async () => {
    const scene = await startStrict((body) => (body['n'] === null ? refusedNulls('n') : undefined));
    expect((await post(scene, '{"n":5,"a":1,"n":null}')).status).toBe(200);
    expect((await post(scene, '{"n":null,"a":1,"n":5}')).status).toBe(200);
    expect(scene.bodies.slice(1)).toEqual(['{"a":1}', '{"n":null,"a":1,"n":5}']);
  });

  test('that is none stays', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'null-field', field: 'user' });
    const reply = await chat(scene, { user: 'me' });
    expect(told(reply)).toEqual({ status: 400, attempts: '1', dropped: undefined });
  });

  test('that was needed is forgotten', async () => {
    const scene = await startStrict((body) => {
      if (body['messages'] === null) return refusedNulls('messages');
      return 'messages' in body ? undefined : { details: { messages: { _errors: ['Required'] } } };
    });
    const reply = await post(scene, '{"messages":null}');
    expect(told(reply)).toEqual({ status: 400, attempts: '2', dropped: 'messages' });
    expect(reply.text).toContain('Required');
    await post(scene, '{"messages":null}');
    expect(scene.bodies).toEqual(['{"messages":null}', '{}', '{"messages":null}', '{}']);
  });
});

describe('rounds', () => {
  const FOUR = { user: 1, thinking: 2, metadata: 3, prediction: 4 };

  test('there are three, without a wait and without using up retries', async () => {
    const scene = await startStrict(oneByOne('user', 'thinking', 'metadata'), { retries: 0 });
    const reply = await post(scene, JSON.stringify(FOUR));
    expect(told(reply)).toEqual({
      status: 200,
      attempts: '4',
      dropped: 'user, thinking, metadata',
    });
    expect(scene.bodies[3]).toBe('{"prediction":4}');
    expect(reply.headers[WAIT]).toBe('0');
  });

  test('after three the 400 stands, and the next request profits from it', async () => {
    const scene = await startStrict(oneByOne(...Object.keys(FOUR)));
    const reply = await post(scene, JSON.stringify(FOUR));
    expect(told(reply)).toMatchObject({ status: 400, attempts: '4' });
    expect(reply.text).toContain("field: 'prediction'");
    const next = await post(scene, JSON.stringify(FOUR));
    expect(told(next)).toMatchObject({ status: 200, attempts: '1' });
    expect(scene.bodies[4]).toBe('{}');
  });

  test('an upstream that goes on refusing what is gone ends them, and is not believed', async () => {
    let lies = true;
    const scene = await startStrict(() => (lies ? unknown('user') : undefined));
    const reply = await post(scene, '{"user":1}');
    expect(told(reply)).toEqual({ status: 400, attempts: '2', dropped: 'user' });
    lies = false;
    const next = await post(scene, '{"user":1}');
    expect(told(next)).toEqual({ status: 200, attempts: '1', dropped: undefined });
    expect(scene.bodies[2]).toBe('{"user":1}');
  });

  test('all retries are left for what fails afterwards, after the wait of a first one', async () => {
    const random = jest.spyOn(Math, 'random').mockReturnValue(0.99);
    closeAfterTest(() => random.mockRestore());
    const scene = await startScene(
      { retries: 1, baseRetryDelay: 100 },
      { refuseFields: { user: 'zod' } },
    );
    scene.venice.script({ kind: 'ok' }, { kind: 'answer', status: 503 });
    const reply = await chat(scene, { user: 'me' });
    expect(told(reply)).toEqual({ status: 200, attempts: '3', dropped: 'user' });
    expect(scene.recorder.retries).toMatchObject([{ attempt: 2, status: 503, delayMs: 99 }]);
    expect(bodiesOf(scene)[2]).toEqual(CHAT);
  });

  test('count as no retries where the log says why it gave up', async () => {
    const written = record('forward');
    const scene = await startScene({ retries: 1, maxWait: 50 }, { refuseFields: { user: 'zod' } });
    const headers = { 'retry-after': '9' };
    scene.venice.script({ kind: 'ok' }, { kind: 'answer', status: 503, headers });
    expect((await chat(scene, { user: 'me' })).status).toBe(503);
    expect(written.join('\n')).toMatch(/gave up .*attempts=2 .*would pass maxWait/);
  });
});

test('what goes again goes through the gate', async () => {
  const scene = await startScene(
    {},
    {
      refuseFields: { user: 'zod' },
      requests: { limit: 1, windowMs: 500 },
      resetFormat: 'milliseconds',
    },
  );
  const reply = await chat(scene, { user: 'me' });
  expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'user' });
  expect(scene.recorder.holds).toMatchObject([{ attempt: 2, reason: 'request limit' }]);
  expect(scene.venice.calls.map(({ status }) => status)).toEqual([400, 200]);
});

describe('a 400 is left alone', () => {
  test('with learnParams: false', async () => {
    const scene = await startScene({ learnParams: false }, { refuseFields: { user: 'zod' } });
    expect(told(await chat(scene, { user: 'me' }))).toMatchObject({ status: 400, attempts: '1' });
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('on routes that are never replayed', async () => {
    const scene = await startStrict(() => unknown('user'));
    const reply = await post(scene, '{"user":"me"}', '/api_keys');
    expect(told(reply)).toMatchObject({ status: 400, attempts: '1' });
    expect(scene.bodies).toHaveLength(1);
  });

  test('when the app says that the request is not to be replayed', async () => {
    const scene = await startScene({ replay: () => 'never' }, { refuseFields: { user: 'zod' } });
    expect(told(await chat(scene, { user: 'me' }))).toMatchObject({ status: 400, attempts: '1' });
  });

  test('when the body is encoded, even though it could be read', async () => {
    const scene = await startStrict(() => unknown('user'));
    const reply = await send(`${scene.baseUrl}/chat/completions`, {
      headers: { 'content-type': 'application/json', 'content-encoding': 'x-sealed' },
      body: '{"user":"me"}',
    });
    expect(told(reply)).toMatchObject({ status: 400, attempts: '1' });
  });

  test.each([401, 403, 404, 409, 413, 415, 422])('no, it is a %d', async (status) => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status, body: unknown('user') });
    expect(told(await chat(scene, { user: 'me' }))).toMatchObject({ status, attempts: '1' });
  });

  test('when its body breaks off', async () => {
    const scene = await startScene();
    const bytes = JSON.stringify(unknown('user'));
    const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n`;
    scene.venice.script({
      kind: 'raw',
      bytes: `${head}Content-Length: ${bytes.length}\r\n\r\n${bytes.slice(0, -1)}`,
    });
    const reply = await chat(scene, { user: 'me' });
    expect(told(reply)).toMatchObject({ status: 400, attempts: '1' });
    expect(reply.complete).toBe(false);
    expect(scene.venice.calls).toHaveLength(1);
  });
});

describe('further requests', () => {
  test.each(['gzip', 'br', 'deflate'] as const)('a 400 in %s is read', async (compress) => {
    const scene = await startScene({}, { compress, refuseFields: { user: 'zod' } });
    const reply = await chat(scene, { user: 'me' });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'user' });
  });

  test('a stream is healed as well', async () => {
    const scene = await startScene({}, { refuseFields: { user: 'zod' } });
    const reply = await chat(scene, { user: 'me', stream: true });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'user' });
    expect(reply.text).toContain('data: [DONE]');
  });

  test.each<[string, object]>([
    ['/embeddings', { model: 'text-embedding-bge-m3', input: 'x', encoding_format: 'base64' }],
    ['/images/generations', { model: 'venice-sd35', prompt: 'x' }],
  ])('so is POST %s', async (path, body) => {
    const scene = await startScene({}, { refuseFields: { user: 'zod' } });
    const reply = await send(scene.baseUrl + path, { body: { ...body, user: 'me' } });
    expect(told(reply)).toEqual({ status: 200, attempts: '2', dropped: 'user' });
  });

  test('the connection is used again', async () => {
    const scene = await startScene({}, { refuseFields: { user: 'zod' } });
    await chat(scene, { user: 'me' });
    expect(scene.venice.connections).toBe(1);
  });
});

test('the log tells member, model and round, and no value', async () => {
  const written = record('healing');
  const scene = await startScene({}, { refuseFields: { user: 'zod', thinking: 'zod' } });
  await chat(scene, { user: 'secret', thinking: 1 });
  expect(written.map((line) => line.replace(/^.*healing /, ''))).toEqual([
    'sent once more without what was refused id=1 model=llama-3.3-70b params=user round=1',
    'sent once more without what was refused id=1 model=llama-3.3-70b params=thinking round=2',
  ]);
  expect(written.join()).not.toContain('secret');
});
