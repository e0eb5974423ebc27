import type { RequestHandler } from 'express';
import { joinPath, pathBehindMount } from './client-path.ts';
import { ProxyError } from './errors.ts';
import type { Config } from './options.ts';
import { step } from './request-context.ts';

/** Decides where a request goes, or refuses it. */
export function confinePath(config: Config): RequestHandler {
  return step('confinePath', (context) => {
    const confined = joinPath(pathBehindMount(context.req), config.basePath);
    if (confined === undefined) {
      throw new ProxyError(
        'invalid_path',
        'The path is not one that the proxy forwards: it must stay below the mount path, without ' +
          'dot segments, backslashes, encoded slashes or a host.',
      );
    }
    context.upstreamPath = confined.upstreamPath;
    context.route = confined.route;
  });
}
