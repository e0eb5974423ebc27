import { callHook } from './hooks.ts';
import { learnableMembers } from './learnable-members.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import { createRewriter } from './rewrite-json.ts';

/** Takes out what Venice refuses and reads what the log and the attempts need to know. */
export function rewriteBody(config: Config): Step {
  const learnable = config.learnParams ? learnableMembers(config) : undefined;
  const rewrite = createRewriter(config.dropParams, learnable);
  return function rewriteBodyOf(context) {
    const { body } = context;
    if (body.kind !== 'held' || body.isEncoded) return;
    const rewritten = rewrite(context.route, body.bytes);
    context.model = rewritten.model;
    context.stream = rewritten.stream;
    context.wantsBase64 = rewritten.wantsBase64;
    context.refusable = rewritten.refusable;
    if (rewritten.bytes === body.bytes) return;
    context.body = { ...body, bytes: rewritten.bytes };
    context.dropped = Object.freeze(rewritten.dropped);
    if (rewritten.dropped.length > 0) {
      callHook(config.on.drop, { request: context.info(), params: context.dropped });
    }
  };
}
