import { HeldBytes } from './held-bytes.ts';
import { findMembers, replaceValues } from './json-members.ts';
import type { JsonMember } from './json-members.ts';
import { isObject } from './json-value.ts';
import type { JsonObject } from './json-value.ts';
import { forModel, modelIn } from './model-names.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import type { RequestContext } from './request-context.ts';
import { DROPPING_ROUTES } from './rewrite-json.ts';

/** Under this name stand the defaults of every model. */
const EVERY_MODEL = '*';

const BRACE_OPEN = 0x7b;
const SPACE = 0x20;

/** Members by their names: as JSON text and, of an object, what it consists of. */
type Filling = ReadonlyMap<string, { readonly text: string; readonly inner: Filling | undefined }>;

/** Adds to chat and responses what the operator wants and the client left out; no step without. */
export function fillDefaults({ defaults }: Config): readonly Step[] {
  if (defaults === undefined) return [];
  const everywhere = defaults.get(EVERY_MODEL) ?? {};
  const fillings = new Map(
    [...defaults].map(([model, its]) => [model, fillingOf(merge(everywhere, its), true)]),
  );
  return [(context) => fill(context, fillings)];
}

function fill(context: RequestContext, fillings: ReadonlyMap<string, Filling>): void {
  const { body, route } = context;
  if (body.kind !== 'held' || body.isEncoded || !DROPPING_ROUTES.has(route)) return;
  const filling = forModel(fillings, modelIn(body.bytes) ?? '') ?? fillings.get(EVERY_MODEL);
  if (filling === undefined) return;
  const json = body.bytes.joined();
  const filled = fillIn(json, filling);
  if (filled !== json) context.body = { ...body, bytes: new HeldBytes([filled]) };
}

/** What is said for one model counts more; objects are merged, one level deep. */
function merge(everywhere: JsonObject, its: JsonObject): JsonObject {
  const both = Object.entries(its).map(([name, value]) => {
    const general = Object.hasOwn(everywhere, name) ? everywhere[name] : undefined;
    return [name, isObject(value) && isObject(general) ? { ...general, ...value } : value] as const;
  });
  return { ...everywhere, ...Object.fromEntries(both) };
}

function fillingOf(members: JsonObject, isOuter: boolean): Filling {
  return new Map(
    Object.entries(members).map(([name, value]) => {
      const inner = isOuter && isObject(value) ? fillingOf(value, false) : undefined;
      return [name, { text: JSON.stringify(value), inner }];
    }),
  );
}

/** Every byte that is there stays; so does what is no JSON object. */
function fillIn(json: Buffer, filling: Filling): Buffer {
  const members = findMembers(json, new Set(filling.keys()));
  if (members === undefined) return json;
  // Of a member that is there twice the last one counts.
  const said = new Map<string, JsonMember>(members.map((each) => [each.name, each]));
  const parts = replaceValues(json.length, members, (member) => {
    const inner = filling.get(member.name)?.inner;
    const isFillable = json[member.valueStart] === BRACE_OPEN && said.get(member.name) === member;
    if (inner === undefined || !isFillable) return undefined;
    const value = json.subarray(member.valueStart, member.end);
    const changed = fillIn(value, inner);
    return changed === value ? undefined : changed;
  });
  const filled = parts === undefined ? json : new HeldBytes([json]).edited(parts).joined();
  const missing = [...filling].filter(([name]) => !said.has(name));
  return append(
    filled,
    missing.map(([name, { text }]) => `${JSON.stringify(name)}:${text}`),
  );
}

/** Behind the last member of an object. */
function append(json: Buffer, members: readonly string[]): Buffer {
  if (members.length === 0) return json;
  const end = json.lastIndexOf('}');
  let last = end - 1;
  while ((json[last] ?? 0) <= SPACE && last > 0) last -= 1;
  const comma = json[last] === BRACE_OPEN ? '' : ',';
  return Buffer.concat([
    json.subarray(0, last + 1),
    Buffer.from(comma + members.join(',')),
    json.subarray(last + 1),
  ]);
}
