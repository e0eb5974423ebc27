import { format } from 'node:util';
import { afterEach, describe, expect, test } from '@jest/globals';
import createDebug from 'debug';
import { CHAT, startFront, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

const DROPPED = 'x-venice-proxy-dropped';
const ALL_THREE = { prompt_cache_key: 'k', logprobs: true, top_logprobs: 3 };

function post({ baseUrl }: { baseUrl: string }, path: string, body: string | Buffer) {
  const headers = { 'content-type': 'application/json' };
  return send(baseUrl + path, { method: 'POST', headers, body });
}

/** The first call's body, one character a byte. */
function arrived({ venice }: Scene): string | undefined {
  return venice.calls[0]?.body.toString('latin1');
}

function dropsOf({ recorder }: Scene): (readonly string[])[] {
  return recorder.seen.flatMap((event) => (event.hook === 'drop' ? [event.params] : []));
}

/** What became of the body, and where it is told. */
function outcomeOf(scene: Scene, { headers }: Reply) {
  return { body: arrived(scene), told: headers[DROPPED], hooks: dropsOf(scene) };
}

function untouched(body: string): ReturnType<typeof outcomeOf> {
  return { body: Buffer.from(body).toString('latin1'), told: undefined, hooks: [] };
}

describe('of the bodies of chat and responses', () => {
  test.each([
    '/chat/completions',
    '/responses',
    '/chat/completions/',
    '/responses?x=1',
    '/chat/completions?/embeddings',
  ])('POST %s loses the three parameters that Venice refuses', async (path) => {
    const scene = await startScene();
    const reply = await post(scene, path, JSON.stringify({ ...ALL_THREE, ...CHAT }));
    expect(arrived(scene)).toBe(JSON.stringify(CHAT));
    expect(reply.headers[DROPPED]).toBe('prompt_cache_key, logprobs, top_logprobs');
    expect(dropsOf(scene)).toEqual([['prompt_cache_key', 'logprobs', 'top_logprobs']]);
    expect(scene.venice.calls[0]?.headers['content-length']).toBe(
      String(JSON.stringify(CHAT).length),
    );
  });

  test.each([
    '/embeddings',
    '/completions',
    '/chat',
    '/chat/completions/x',
    '/Chat/completions',
    '/x/chat/completions',
    '/chat//completions',
    '/responses/x',
    '/images/generations',
    '/audio/speech',
    '/stand-in/echo?x=/chat/completions',
    '/api/chat',
  ])('POST %s loses nothing', async (path) => {
    const scene = await startScene();
    const body = JSON.stringify({ ...ALL_THREE, ...CHAT });
    const reply = await post(scene, path, body);
    expect(outcomeOf(scene, reply)).toEqual(untouched(body));
  });

  test.each([
    ['{"model":"m","logprobs":true}', '{"model":"m"}'],
    ['{"logprobs":true,"model":"m"}', '{"model":"m"}'],
    ['{"logprobs":true}', '{}'],
    [' {\n  "logprobs": true\n}\n ', ' {\n  \n}\n '],
    ['{"a":1,"logprobs":null,"top_logprobs":0,"b":2}', '{"a":1,"b":2}'],
    ['{"logprobs":[{"a":[1,"]}"]}],"b":2}', '{"b":2}'],
    ['{"logprobs":{"x":"\\"}"},"b":2}', '{"b":2}'],
    ['{"id":12345678901234567890,"t":1.0,"logprobs":1}', '{"id":12345678901234567890,"t":1.0}'],
    [
      '{"logprobs":1,"a":1e2,"b":-0.0,"c":1E+400,"d":0.10}',
      '{"a":1e2,"b":-0.0,"c":1E+400,"d":0.10}',
    ],
    ['{"logprobs":1,"a":1,"logprobs":2,"a":2}', '{"a":1,"a":2}'],
    ['{"model":"x","model":"y","logprobs":1}', '{"model":"x","model":"y"}'],
    ['{"__proto__":{"logprobs":1},"logprobs":1}', '{"__proto__":{"logprobs":1}}'],
    ['{"constructor":1,"toString":2,"logprobs":1}', '{"constructor":1,"toString":2}'],
    ['{"log\\u0070robs":true,"m":1}', '{"m":1}'],
    ['{"\\u006cogprobs":1,"logprob\\u0073":2,"m":1}', '{"m":1}'],
    ['{"m":"\\u0041\\/\\ud83d\\ude42é","logprobs":1}', '{"m":"\\u0041\\/\\ud83d\\ude42é"}'],
    ['{"m":"\\",\\"logprobs\\":true","logprobs":1}', '{"m":"\\",\\"logprobs\\":true"}'],
    [
      '{"m":[{"logprobs":1}],"x":{"top_logprobs":2},"logprobs":1}',
      '{"m":[{"logprobs":1}],"x":{"top_logprobs":2}}',
    ],
    [
      '{"venice_parameters":{"character_slug":"alan"},"logprobs":1}',
      '{"venice_parameters":{"character_slug":"alan"}}',
    ],
    ['{ "a" : 1 ,\t"logprobs" :\r\n true , "b" : 2 }', '{ "a" : 1 \t , "b" : 2 }'],
  ])('every other byte stays: %s', async (body, rest) => {
    const scene = await startScene();
    const reply = await post(scene, '/chat/completions', body);
    expect(arrived(scene)).toBe(Buffer.from(rest).toString('latin1'));
    expect(reply.headers[DROPPED]).toContain('logprobs');
  });

  test('bytes that are no UTF-8 stay, too', async () => {
    const scene = await startScene();
    const body = Buffer.from('{"a":"\xff\xc3\x28\x80","logprobs":"\xfe","b":"\xe9"}', 'latin1');
    await post(scene, '/chat/completions', body);
    expect(arrived(scene)).toBe('{"a":"\xff\xc3\x28\x80","b":"\xe9"}');
  });

  test.each([
    '{"model":"m","messages":[]}',
    ' { "model" : "m" ,\r\n\t"seed":12345678901234567890 , "t":1.0,"t":1.00 } \n',
    '{"messages":[{"logprobs":true}],"x":"logprobs","logprob":1,"LOGPROBS":2," logprobs":3}',
    '{"__proto__":{"logprobs":1},"constructor":{"prototype":{"logprobs":1}}}',
    '{"\\u0061":"\\u0041","b":"é🙂"}',
    '{}',
    '[{"logprobs":true}]',
    '{"logprobs":true',
  ])('one that needs no change goes out byte for byte: %s', async (body) => {
    const scene = await startScene();
    const reply = await post(scene, '/chat/completions', body);
    expect(outcomeOf(scene, reply)).toEqual(untouched(body));
  });

  test('a depth of 50 000 does no harm', async () => {
    const scene = await startScene();
    const deep = '['.repeat(50_000) + ']'.repeat(50_000);
    await post(scene, '/chat/completions', `{"a":${deep},"logprobs":${deep}}`);
    expect(arrived(scene)).toBe(`{"a":${deep}}`);
  });

  test('every attempt is made with what is left', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 500 }, { kind: 'abuse-block' });
    const reply = await post(scene, '/responses', '{"logprobs":1,"model":"m","input":"x"}');
    expect(reply.status).toBe(200);
    expect(scene.venice.calls.map(({ body }) => body.toString())).toEqual(
      Array.from({ length: 3 }, () => '{"model":"m","input":"x"}'),
    );
    expect(scene.recorder.retries.map(({ status }) => status)).toEqual([500, 429]);
    expect(scene.recorder.delays[1]).toBe(50);
    expect(dropsOf(scene)).toEqual([['logprobs']]);
  });
});

describe('dropParams', () => {
  test('of none keeps everything', async () => {
    const scene = await startScene({ dropParams: [] });
    const body = JSON.stringify({ ...ALL_THREE, ...CHAT });
    const reply = await post(scene, '/chat/completions', body);
    expect(outcomeOf(scene, reply)).toEqual(untouched(body));
  });

  test('takes the place of the default', async () => {
    const scene = await startScene({ dropParams: ['user', '__proto__', 'constructor', 'größe'] });
    const body = '{"größe":1,"logprobs":2,"__proto__":{"a":1},"user":"u","toString":3}';
    const reply = await post(scene, '/responses', body);
    expect(arrived(scene)).toBe('{"logprobs":2,"toString":3}');
    expect(reply.headers[DROPPED]).toBe('user, __proto__, gr%C3%B6%C3%9Fe');
    expect(dropsOf(scene)).toEqual([['user', '__proto__', 'größe']]);
  });

  test('can name what the proxy reads itself', async () => {
    const scene = await startScene({ dropParams: ['model', 'stream'] });
    await post(scene, '/chat/completions', '{"model":"m","stream":true,"messages":[]}');
    expect(arrived(scene)).toBe('{"messages":[]}');
    expect(await scene.recorder.ended()).toMatchObject({ request: { model: 'm' } });
  });
});

describe('what was dropped', () => {
  const written: string[] = [];
  const log = createDebug.log;

  afterEach(() => {
    createDebug.disable();
    createDebug.log = log;
    written.length = 0;
  });

  test('stands in the log line of the request, beside the model', async () => {
    createDebug.log = (...args: unknown[]) => written.push(format(...args));
    createDebug.enable('venice-proxy:request-log');
    const scene = await startScene();
    await post(scene, '/chat/completions', JSON.stringify({ ...ALL_THREE, ...CHAT }));
    await scene.recorder.ended();
    await post(scene, '/chat/completions', JSON.stringify(CHAT));
    await scene.recorder.ended(2);
    expect(written).toEqual([
      expect.stringMatching(
        /POST \/chat\/completions .*model=llama-3\.3-70b .*dropped=prompt_cache_key,logprobs,top_logprobs\b/,
      ),
      expect.not.stringContaining('dropped'),
    ]);
  });

  test('is told to the hooks, with what the request is', async () => {
    const { recorder, ...scene } = await startScene();
    const body = JSON.stringify({ ...CHAT, stream: true, logprobs: true });
    await post(scene, '/chat/completions', body);
    const ended = await recorder.ended();
    expect(ended.dropped).toEqual(['logprobs']);
    expect(recorder.seen.map(({ hook }) => hook)).toEqual(['drop', 'attempt', 'answer']);
    expect(recorder.seen[0]).toEqual({
      hook: 'drop',
      params: ['logprobs'],
      request: {
        id: ended.request.id,
        method: 'POST',
        path: '/chat/completions',
        model: CHAT.model,
        stream: true,
      },
    });
  });

  test('stands on a stream', async () => {
    const scene = await startScene();
    const body = JSON.stringify({ ...CHAT, stream: true, logprobs: true });
    const reply = await post(scene, '/chat/completions', body);
    expect(reply.headers['content-type']).toMatch(/^text\/event-stream/);
    expect(reply.headers[DROPPED]).toBe('logprobs');
  });

  test("stands on the upstream's errors", async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 400, body: { error: 'No' } });
    const reply = await post(scene, '/chat/completions', '{"model":"m","logprobs":1}');
    expect([reply.status, reply.text]).toEqual([400, '{"error":"No"}']);
    expect(reply.headers[DROPPED]).toBe('logprobs');
  });

  test("stands on the proxy's own errors", async () => {
    const front = await startFront({ target: 'http://127.0.0.1:1', retries: 0 });
    const reply = await post(front, '/chat/completions', '{"model":"m","logprobs":1}');
    expect(reply.status).toBe(502);
    expect(reply.headers[DROPPED]).toBe('logprobs');
  });
});
