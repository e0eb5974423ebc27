import type { Attributes } from '@opentelemetry/api';
import type { RequestInfo } from '../hooks.ts';
import { OTHER_ROUTE, knownRoute } from '../known-routes.ts';

/** By route, the operation as OpenTelemetry's conventions for generative AI call it. */
const OPERATIONS: ReadonlyMap<string, string> = new Map([
  ['/chat/completions', 'chat'],
  ['/responses', 'chat'],
  ['/api/chat', 'chat'],
  ['/api/generate', 'text_completion'],
  ['/embeddings', 'embeddings'],
  ['/api/embed', 'embeddings'],
  ['/api/embeddings', 'embeddings'],
  ['/image/generate', 'generate_content'],
  ['/images/generations', 'generate_content'],
]);

/** Of the client's request; without a route it is the method alone (semantic conventions). */
export function requestName({ method, path }: RequestInfo): string {
  const route = routeOf(path);
  return route === undefined ? method : `${method} ${route}`;
}

function routeOf(path: string): string | undefined {
  const route = knownRoute(path);
  return route === OTHER_ROUTE ? undefined : route;
}

/** Of an upstream call. */
export function attemptName(request: RequestInfo): string {
  const operation = OPERATIONS.get(request.path);
  return operation === undefined || request.model === undefined
    ? requestName(request)
    : `${operation} ${request.model}`;
}

export function requestAttributes({ id, method, path }: RequestInfo): Attributes {
  return {
    'http.request.method': method,
    'http.route': routeOf(path),
    'url.path': path,
    'venice_proxy.request.id': id,
  };
}

/** What only the body tells. */
export function modelAttributes({ path, model, stream }: RequestInfo): Attributes {
  const operation = OPERATIONS.get(path);
  const attributes: Attributes = { 'gen_ai.provider.name': 'venice' };
  if (operation !== undefined) attributes['gen_ai.operation.name'] = operation;
  if (model !== undefined) attributes['gen_ai.request.model'] = model;
  if (stream) attributes['gen_ai.request.stream'] = true;
  return attributes;
}
