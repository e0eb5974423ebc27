import { describe, expect, test } from '@jest/globals';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { besideApi, oneAfterTheOther } from '../examples/server/api-route.ts';

/** Who is asked for a request with this path. */
function askedFor(pathPrefix: string, url: string): 'routes' | 'next' {
  let asked: 'routes' | 'next' | undefined;
  const handler = besideApi(pathPrefix, () => void (asked = 'routes'));
  void handler({ url } as Request, {} as Response, () => void (asked = 'next'));
  if (asked === undefined) throw new Error('nobody was asked');
  return asked;
}

describe('the routes of the server itself', () => {
  test.each([
    ['/api/v1', '/api/v1/chat/completions', 'next'],
    ['/api/v1', '/api/v1/health', 'next'],
    ['/api/v1', '/api/v1', 'routes'],
    ['/api/v1', '/api/v10/models', 'routes'],
    ['/api/v1', '/API/v1/models', 'routes'],
    ['/api/v1', '/health', 'routes'],
    ['/api/v1', '/?x=/api/v1/', 'routes'],
    ['/api/v1', 'http://host/api/v1/models', 'routes'],
  ])('with the prefix %s, %s is for: %s', (pathPrefix, url, asked) => {
    expect(askedFor(pathPrefix, url)).toBe(asked);
  });

  test.each(['/', '/health', '/Status', '/metrics'])(
    'with the prefix %s, which is one of their places or above them, they are asked first',
    (pathPrefix) => {
      expect(askedFor(pathPrefix, `${pathPrefix}/`)).toBe('routes');
      expect(askedFor(pathPrefix, `${pathPrefix}/models`)).toBe('routes');
    },
  );
});

describe('several handlers as one', () => {
  const called: string[] = [];
  const passes =
    (name: string, error?: unknown): RequestHandler =>
    (_req, _res, next) => {
      called.push(name);
      next(error);
    };
  const run = (handlers: readonly RequestHandler[], next: NextFunction): void => {
    called.length = 0;
    void oneAfterTheOther(handlers)({} as Request, {} as Response, next);
  };

  test('each is called when the one before has let the request pass', () => {
    run([passes('a'), passes('b'), passes('c')], () => called.push('next'));
    expect(called).toEqual(['a', 'b', 'c', 'next']);
    run([passes('a'), () => called.push('end'), passes('c')], () => called.push('next'));
    expect(called).toEqual(['a', 'end']);
  });

  test('an error goes past those behind', () => {
    const failure = new Error('no');
    let told: unknown;
    run([passes('a', failure), passes('b')], (error) => void (told = error));
    expect([called, told]).toEqual([['a'], failure]);
  });
});
