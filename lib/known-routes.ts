import { REPLAY_TABLE } from './replay-policy.ts';

export const OTHER_ROUTE = 'other';

/** What clients ask beside the routes that the replay table names. */
const READ_ROUTES = [
  '/models',
  '/models/traits',
  '/models/compatibility_mapping',
  '/api_keys/rate_limits',
  '/api_keys/rate_limits/log',
  '/image/styles',
  '/characters',
  '/billing/balance',
  '/billing/usage',
  '/video/quote',
  '/video/retrieve',
  '/audio/quote',
  '/audio/retrieve',
  '/api/version',
  '/api/tags',
  '/api/ps',
  '/api/show',
  '/api/chat',
  '/api/generate',
  '/api/embed',
  '/api/embeddings',
];

const ROUTES: ReadonlySet<string> = new Set([
  ...REPLAY_TABLE.map(([, route]) => route).filter((route) => !route.includes('*')),
  ...READ_ROUTES,
]);

/** The path where it is that of a known route, else `other`: paths are what clients write. */
export function knownRoute(path: string): string {
  return ROUTES.has(path) ? path : OTHER_ROUTE;
}

const MODEL_ROUTE = /^\/(chat|responses|embeddings|images?|audio|video|api\/(chat|generate|embed))/;

/** Whether the upstream has looked at the model that a request names, wherever it has served it. */
export function asksModel(method: string, path: string): boolean {
  return method === 'POST' && ROUTES.has(path) && MODEL_ROUTE.test(path);
}
