import type { StandInOptions } from './types.ts';

/** Options with every default filled in; `tls` is used once, at creation. */
export type Settings = Required<Omit<StandInOptions, 'tls' | 'onCall'>> &
  Pick<StandInOptions, 'onCall'>;

const DEFAULTS: Settings = {
  requests: { limit: 100, windowMs: 60_000 },
  tokens: { limit: 2_000_000, windowMs: 60_000 },
  headers: true,
  resetFormat: 'seconds',
  resetRounding: 'ceil',
  abuse: { failures: 50, windowMs: 30_000 },
  compress: false,
  tokenDelayMs: 5,
  latencyMs: 0,
  clockOffsetMs: 0,
  basePath: '/api/v1',
  refuseFields: {},
  keptCalls: Infinity,
};

export function settingsFrom(options: StandInOptions): Settings {
  const { tls: _tls, ...given } = options;
  const settings = { ...DEFAULTS, ...given };
  return { ...settings, basePath: settings.basePath.replace(/\/+$/, '') };
}
