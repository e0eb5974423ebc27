// Some models write numbers as strings in the arguments of tool calls: `{"start_line":"3"}`. This
// makes numbers of them where the schema of the request's own tools says so, in answers of
// `/chat/completions` and in their streams.
//
//   node dist/examples/repair-tool-calls.js
//
// Then point an OpenAI client at http://localhost:3000/api/v1, with your Venice key.
import express from 'express';
import type { Express } from 'express';
import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import type { JsonObject, RequestInfo, VeniceProxyOptions } from 'venice-proxy';
import { isMain } from './is-main.ts';

/** The tools of one request by their names: the schema of their arguments. */
type Schemas = ReadonlyMap<string, JsonObject>;

/** A call whose arguments come in pieces: held until they are whole. */
interface Call {
  readonly name: string;
  held: string;
}

type Rewrites = Required<
  Pick<VeniceProxyOptions, 'rewriteRequest' | 'rewriteAnswer' | 'rewriteEvent'>
>;

/** Options for `createVeniceProxy`. */
export function repairToolCalls(): Rewrites {
  // By the request's own object: what is kept for it goes when it goes.
  const schemas = new WeakMap<RequestInfo, Schemas>();
  const calls = new WeakMap<RequestInfo, Map<string, Call>>();
  return {
    rewriteRequest(body, request) {
      const found = schemasOf(body);
      if (found.size > 0) schemas.set(request, found);
      return undefined;
    },
    rewriteAnswer(body, request) {
      const known = schemas.get(request);
      return known !== undefined && repairAnswer(body, known) ? body : undefined;
    },
    rewriteEvent(data, request) {
      const known = schemas.get(request);
      if (known === undefined) return undefined;
      const begun = calls.get(request) ?? new Map<string, Call>();
      calls.set(request, begun);
      return repairChunk(data, known, begun) ? data : undefined;
    },
  };
}

function schemasOf(body: JsonObject): Schemas {
  const schemas = new Map<string, JsonObject>();
  for (const tool of objectsIn(body['tools'])) {
    const { name, parameters } = objectOr(tool['function']);
    if (typeof name === 'string' && isObject(parameters)) schemas.set(name, parameters);
  }
  return schemas;
}

/** Tells whether anything was changed. */
function repairAnswer(body: JsonObject, schemas: Schemas): boolean {
  let hasChanged = false;
  for (const choice of objectsIn(body['choices'])) {
    for (const call of objectsIn(objectOr(choice['message'])['tool_calls'])) {
      const called = objectOr(call['function']);
      const schema = schemas.get(String(called['name']));
      const { arguments: text } = called;
      if (schema === undefined || typeof text !== 'string') continue;
      called['arguments'] = repairText(text, schema) ?? text;
      hasChanged ||= called['arguments'] !== text;
    }
  }
  return hasChanged;
}

function repairChunk(chunk: JsonObject, schemas: Schemas, calls: Map<string, Call>): boolean {
  let hasChanged = false;
  for (const choice of objectsIn(chunk['choices'])) {
    const choiceKey = `${String(choice['index'])}/`;
    for (const piece of objectsIn(objectOr(choice['delta'])['tool_calls'])) {
      const called = objectOr(piece['function']);
      const key = choiceKey + String(piece['index']);
      const { name, arguments: text } = called;
      let call = calls.get(key);
      // Some servers repeat the name with each piece, others give all calls one index.
      if (typeof name === 'string' && call?.name !== name && !call?.held) {
        call = { name, held: '' };
        calls.set(key, call);
      }
      const schema = schemas.get(call?.name ?? '');
      if (call === undefined || schema === undefined || typeof text !== 'string') continue;
      call.held += text;
      // Only there can they be whole.
      const whole = text.trimEnd().endsWith('}') ? repairText(call.held, schema) : undefined;
      if (whole !== undefined) call.held = '';
      called['arguments'] = whole ?? '';
      hasChanged = true;
    }
    if (typeof choice['finish_reason'] === 'string' && giveBack(choice, choiceKey, calls)) {
      hasChanged = true;
    }
  }
  return hasChanged;
}

/** Arguments that never became whole go out as the model wrote them, in front of its end. */
function giveBack(choice: JsonObject, choiceKey: string, calls: Map<string, Call>): boolean {
  const open = [...calls].filter(([key, { held }]) => key.startsWith(choiceKey) && held !== '');
  if (open.length === 0) return false;
  const delta = objectOr(choice['delta']);
  const pieces = open.map(([key, call]) => {
    const { held } = call;
    call.held = '';
    return { index: Number(key.slice(choiceKey.length)), function: { arguments: held } };
  });
  choice['delta'] = { ...delta, tool_calls: [...objectsIn(delta['tool_calls']), ...pieces] };
  return true;
}

/** `undefined`: the text is no JSON object, or not yet. What needs no repair comes back as it is. */
function repairText(text: string, schema: JsonObject): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const repaired = JSON.stringify(repair(value, schema));
  // `JSON.parse` would round a number with so many digits; better no repair than that.
  return repaired === JSON.stringify(value) || /\d{16}/.test(text) ? text : repaired;
}

function repair(value: unknown, schema: JsonObject): unknown {
  if (typeof value === 'string') return numberFrom(value, schema) ?? value;
  if (Array.isArray(value)) {
    const { items } = schema;
    return isObject(items) ? value.map((item) => repair(item, items)) : value;
  }
  if (!isObject(value)) return value;
  const properties = objectOr(schema['properties']);
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const its = Object.hasOwn(properties, name) ? properties[name] : undefined;
      return [name, isObject(its) ? repair(member, its) : member];
    }),
  );
}

/** The number that a string stands for where the schema wants one, and would not take the string. */
function numberFrom(text: string, schema: JsonObject): number | undefined {
  const types = typesOf(schema);
  const isNumber = /^\s*-?\d+(\.\d+)?([eE][+-]?\d+)?\s*$/.test(text);
  if (!isNumber || types.includes('string')) return undefined;
  const value = Number(text);
  if (types.includes('number') && Number.isFinite(value)) return value;
  return types.includes('integer') && Number.isSafeInteger(value) ? value : undefined;
}

/** Of `{"type":"integer"}`, `{"type":["integer","null"]}` and `{"anyOf":[…]}`. */
function typesOf(schema: JsonObject): readonly unknown[] {
  const others = [...objectsIn(schema['anyOf']), ...objectsIn(schema['oneOf'])];
  return [schema['type'], ...others.flatMap(typesOf)].flat();
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectOr(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function createApp(options: VeniceProxyOptions = {}): Express {
  const app = express();
  app.use('/api/v1', createVeniceProxy({ ...options, ...repairToolCalls() }));
  return app;
}

if (isMain(import.meta.url)) {
  const server = createApp(optionsFromEnv()).listen(Number(process.env['PORT'] ?? 3000));
  server.once('listening', () => console.log('listening on', server.address()));
}
