import type { RequestInfo } from './hooks.ts';
import type { JsonObject } from './json-value.ts';

/** Changes a request's JSON; `undefined` leaves it byte for byte. */
export type RewriteRequest = (
  body: JsonObject,
  request: RequestInfo,
) => JsonObject | undefined | Promise<JsonObject | undefined>;

/** Changes an answer's JSON; `undefined` leaves it byte for byte. */
export type RewriteAnswer = (
  body: JsonObject,
  request: RequestInfo,
) => JsonObject | undefined | Promise<JsonObject | undefined>;

/** Changes the JSON of one event; `undefined` leaves it byte for byte, `null` drops it. */
export type RewriteEvent = (
  data: JsonObject,
  request: RequestInfo,
) => JsonObject | null | undefined;
