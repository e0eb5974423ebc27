import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { DEFAULTS } from '../lib/options.ts';
import { HeldBytes } from '../lib/held-bytes.ts';
import { createRewriter } from '../lib/rewrite-json.ts';
import type { RewrittenBody } from '../lib/rewrite-json.ts';

const DROP: ReadonlySet<string> = new Set(DEFAULTS.dropParams);

type Said = Omit<RewrittenBody, 'bytes'> & { readonly text: string; readonly same: boolean };

function rewrite(route: string, text: string, drop = DROP): Said {
  const given = new HeldBytes([Buffer.from(text)]);
  const { bytes, ...said } = createRewriter(drop)(route, given);
  return { ...said, text: bytes.joined().toString(), same: bytes === given };
}

describe.each(['/chat/completions', '/responses'])('POST %s', (route) => {
  test.each<[string, string, readonly string[]]>([
    ['{"logprobs":true}', '{}', ['logprobs']],
    ['{"model":"m","logprobs":true}', '{"model":"m"}', ['logprobs']],
    ['{"logprobs":true,"model":"m"}', '{"model":"m"}', ['logprobs']],
    ['{"a":1,"top_logprobs":5,"b":2}', '{"a":1,"b":2}', ['top_logprobs']],
    [
      '{"top_logprobs":5,"a":1,"logprobs":true,"prompt_cache_key":{"a":["b"]}}',
      '{"a":1}',
      ['prompt_cache_key', 'logprobs', 'top_logprobs'],
    ],
    ['{"logprobs":1,"a":2,"logprobs":3}', '{"a":2}', ['logprobs']],
    [String.raw`{"log\u0070robs":1,"a":2}`, '{"a":2}', ['logprobs']],
    ['{"logprobs":null,"a":"logprobs"}', '{"a":"logprobs"}', ['logprobs']],
  ])('takes out what is to be dropped: %s', (text, rest, dropped) => {
    expect(rewrite(route, text)).toMatchObject({ text: rest, dropped, same: false });
  });

  test('leaves every other byte', () => {
    const kept =
      '"n": 12345678901234567890 ,\t"temperature":1.0,"__proto__":{"logprobs":1},"a":1,"a":2,' +
      '"nested":{"logprobs":true,"list":[{"top_logprobs":1}]},"text":"ü\\u00fc \\/ \\ud800"';
    const text = ` {\n"logprobs":true,${kept}} \n`;
    expect(rewrite(route, text)).toMatchObject({ text: ` {\n${kept}} \n`, dropped: ['logprobs'] });
  });

  test('leaves bytes that are no UTF-8', () => {
    const kept = Buffer.from([0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0xc3, 0x28, 0x22]);
    const given = Buffer.concat([Buffer.from('{"logprobs":1,'), kept, Buffer.from('}')]);
    const { bytes } = createRewriter(DROP)(route, new HeldBytes([given]));
    expect(bytes.joined()).toEqual(Buffer.concat([Buffer.from('{'), kept, Buffer.from('}')]));
  });

  test.each([
    '{}',
    '{"model":"m","messages":[{"role":"user","content":"logprobs"}],"stream":true}',
    '{"Logprobs":1,"logprobs ":1,"log_probs":1}',
    '{"venice_parameters":{"logprobs":1}}',
    '{"encoding_format":"base64"}',
  ])('returns the very bytes when nothing is to be dropped: %s', (text) => {
    expect(rewrite(route, text)).toMatchObject({
      text,
      same: true,
      dropped: [],
      wantsBase64: false,
    });
  });

  test('drops what the list says and nothing else', () => {
    const drop = new Set(['user', '__proto__', 'model']);
    const text = '{"model":"m","logprobs":true,"user":"u","__proto__":1,"stream":true}';
    expect(rewrite(route, text, drop)).toMatchObject({
      text: '{"logprobs":true,"stream":true}',
      dropped: ['user', '__proto__', 'model'],
      model: 'm',
      stream: true,
    });
    expect(rewrite(route, text, new Set())).toMatchObject({ same: true, dropped: [] });
  });

  test('is, after any drop, what JSON.parse would see without the dropped members', () => {
    const name = fc.constantFrom('logprobs', 'top_logprobs', 'prompt_cache_key', 'model', 'a', 'é');
    const member = fc.tuple(name, fc.jsonValue(), fc.constantFrom('', ' ', '\n\t'));
    fc.assert(
      fc.property(fc.array(member, { maxLength: 8 }), (members) => {
        const text = `{${members
          .map(
            ([key, value, space]) =>
              `${space}${JSON.stringify(key)}${space}:${JSON.stringify(value)}${space}`,
          )
          .join(',')}}`;
        const expected = Object.fromEntries(members.filter(([key]) => !DROP.has(key)));
        const said = rewrite(route, text);
        expect(JSON.parse(said.text)).toEqual(JSON.parse(JSON.stringify(expected)));
        expect(said.dropped).toEqual([...DROP].filter((key) => members.some(([k]) => k === key)));
        expect(said.same).toBe(said.dropped.length === 0);
      }),
    );
  });
});

describe('POST /embeddings', () => {
  test.each([
    ['{"encoding_format":"base64"}', '{"encoding_format":"float"}'],
    [
      '{"input":"x", "encoding_format" : "base64" ,"n":1.0}',
      '{"input":"x", "encoding_format" : "float" ,"n":1.0}',
    ],
    [
      String.raw`{"encoding_form\u0061t":"b\u0061se64"}`,
      String.raw`{"encoding_form\u0061t":"float"}`,
    ],
    [
      '{"encoding_format":"float","encoding_format":"base64"}',
      '{"encoding_format":"float","encoding_format":"float"}',
    ],
    [
      '{"encoding_format":[1.0],"encoding_format":"base64"}',
      '{"encoding_format":[1.0],"encoding_format":"float"}',
    ],
    [
      '{"encoding_format":"base64","a":1,"encoding_format":"base64"}',
      '{"encoding_format":"float","a":1,"encoding_format":"float"}',
    ],
  ])('asks for float where base64 was asked: %s', (text, asked) => {
    expect(rewrite('/embeddings', text)).toMatchObject({
      text: asked,
      wantsBase64: true,
      dropped: [],
      same: false,
    });
  });

  test.each([
    '{"input":"x"}',
    '{"encoding_format":"float"}',
    '{"encoding_format":"BASE64"}',
    '{"encoding_format":"base64 "}',
    '{"encoding_format":null}',
    '{"encoding_format":["base64"]}',
    '{"encoding_format":{"encoding_format":"base64"}}',
    '{"input":{"encoding_format":"base64"}}',
    '{"encoding_format":"base64","encoding_format":"float"}',
    '{"logprobs":true,"top_logprobs":5,"prompt_cache_key":"k"}',
    '["base64"]',
  ])('gives back the very bytes and floats to everybody else: %s', (text) => {
    expect(rewrite('/embeddings', text)).toMatchObject({
      text,
      wantsBase64: false,
      dropped: [],
      same: true,
    });
  });
});

describe('any other route', () => {
  test.each(['/embeddings', '/image/generate', ''])(
    'drops nothing, whatever the list says: %j',
    (route) => {
      const text = '{"model":"m","stream":true,"encoding_format":"float"}';
      const drop = new Set(['model', 'stream', 'encoding_format']);
      expect(rewrite(route, text, drop)).toMatchObject({ same: true, dropped: [] });
    },
  );

  test.each(['/image/generate', '/models', '', '/', '/chat', '/v1/chat/completions', '/api/chat'])(
    'keeps its bytes: %j',
    (route) => {
      const text = '{"logprobs":true,"encoding_format":"base64","model":"m","stream":true}';
      expect(rewrite(route, text)).toEqual({
        text,
        same: true,
        dropped: [],
        model: 'm',
        stream: true,
        wantsBase64: false,
      });
    },
  );
});

describe.each(['/chat/completions', '/responses', '/embeddings', '/audio/speech'])(
  'what a body to %s says',
  (route) => {
    test.each<[string, string | undefined, boolean]>([
      ['{"model":"m:enable_web_search=on","stream":true}', 'm:enable_web_search=on', true],
      ['{"model":"m","stream":false}', 'm', false],
      ['{"model":"m"}', 'm', false],
      [String.raw`{"m\u006fdel":"\u006d"}`, 'm', false],
      ['{"model":"a","model":"b","stream":true,"stream":false}', 'b', false],
      ['{"model":"a","model":5}', undefined, false],
      ['{"model":["m"],"stream":"true"}', undefined, false],
      ['{"model":null,"stream":1}', undefined, false],
      ['{"nested":{"model":"m","stream":true}}', undefined, false],
      ['{}', undefined, false],
    ])('is its model and whether it streams: %s', (text, model, stream) => {
      expect(rewrite(route, text)).toMatchObject({ model, stream });
    });

    test.each([
      '',
      ' ',
      'null',
      '"logprobs"',
      '[{"logprobs":1}]',
      '{"logprobs":true',
      '{"logprobs":true,}',
      '{"logprobs":true}}',
      '{"logprobs":true} x',
      '{"logprobs":True}',
      "{'logprobs':1}",
      '{logprobs:1}',
      '{"logprobs":01}',
      '{"logprobs":1,,"model":"m"}',
      '{"logprobs" 1}',
      '{"encoding_format":"base64"',
      '\ufeff{"logprobs":1}',
    ])('is nothing, and it goes out as it came, when it is no JSON object: %j', (text) => {
      expect(rewrite(route, text)).toEqual({
        text,
        same: true,
        dropped: [],
        model: undefined,
        stream: false,
        wantsBase64: false,
      });
    });
  },
);
