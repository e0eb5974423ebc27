import { createLog } from './debug.ts';
import { KnownModels } from './known-models.ts';
import { forModel, modelIn, withFeaturesOf, withModel } from './model-names.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import type { RequestContext } from './request-context.ts';

const log = createLog('alias-model');

/** The names that the operator has given; `undefined` where there are none. */
export function knownModels({ models }: Config): KnownModels | undefined {
  return models && new KnownModels([...models.keys(), ...models.values()]);
}

/** Puts Venice's models in the place of the names that clients know; no step without any. */
export function aliasModel({ models }: Config, known: KnownModels | undefined): readonly Step[] {
  if (models === undefined) return [];
  return [
    (context) => {
      if (context.upstreamMethod === 'GET' && context.route === '/models') known?.listenTo(context);
      else replaceAlias(context, models);
    },
  ];
}

function replaceAlias(context: RequestContext, models: ReadonlyMap<string, string>): void {
  const { body } = context;
  if (body.kind !== 'held' || body.isEncoded) return;
  const alias = modelIn(body.bytes);
  const named = alias === undefined ? undefined : forModel(models, alias);
  if (alias === undefined || named === undefined) return;
  const model = models.has(alias) ? named : withFeaturesOf(alias, named);
  log('an alias was replaced', { id: context.id, alias, model });
  context.body = { ...body, bytes: withModel(body.bytes, model) };
  context.otherModel = model;
}
