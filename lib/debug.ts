import createDebug from 'debug';

/** What a log line says beside its message; `undefined` is left out. Never a key, never a body. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Writes one line to `venice-proxy:<name>`; free when that namespace is off. */
export interface Log {
  (message: string, fields?: LogFields): void;
  /** Whether anybody listens: for lines whose fields cost something to gather. */
  isOn(): boolean;
}

// `%F` is ours: a program that wants its logs in another form (JSON, say) replaces this one
// formatter and receives the fields as they are, not as text to be parsed again.
// What it returns becomes part of a format string: hence the doubled signs.
createDebug.formatters['F'] ??= (fields: LogFields) => formatFields(fields).replaceAll('%', '%%');

// oxlint-disable-next-line no-control-regex -- meant
const PLAIN_VALUE = /^[^\s"=\u0000-\u001f\u007f-\u009f]+$/;

/** `key=value` pairs, quoted where a value is not plain; no control character comes out as one. */
export function formatFields(fields: LogFields): string {
  let text = '';
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = String(value);
    text += ` ${name}=${PLAIN_VALUE.test(shown) ? shown : quote(shown)}`;
  }
  return text;
}

function quote(text: string): string {
  // JSON leaves DEL and the C1 controls as they are; a terminal would obey them.
  return escapeControls(JSON.stringify(text));
}

// By their numbers: a bundler may make a new expression of `\p{Cc}` for each line.
// oxlint-disable-next-line no-control-regex -- meant
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

function escapeControls(text: string): string {
  return text.replace(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function createLog(name: string): Log {
  const debug = createDebug(`venice-proxy:${name}`);
  const log = (message: string, fields: LogFields = {}): void => {
    if (debug.enabled) debug('%s%F', escapeControls(message), fields);
  };
  return Object.assign(log, { isOn: () => debug.enabled });
}
