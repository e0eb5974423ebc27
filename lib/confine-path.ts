import { joinPath, pathBehindMount } from './client-path.ts';
import { ProxyError } from './errors.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';

/** Decides where a request goes, or refuses it. */
export function confinePath(config: Config): Step {
  return function confinePathOf(context) {
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
  };
}
