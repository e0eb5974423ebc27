import { format } from 'node:util';
import createDebug from 'debug';
import type { Debugger } from 'debug';
import type { ServerSettings } from './settings.ts';

type Fields = Readonly<Record<string, unknown>>;

interface Line {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly name: string;
  readonly color: string;
  readonly message: string;
  readonly fields: Fields;
}

type Render = (line: Line, hasColors: boolean) => string;

/** A line, which becomes text where it is written. */
export class LogLine {
  readonly #line: Line;
  readonly #render: Render;
  readonly #hasColors: boolean;

  constructor(line: Line, render: Render, hasColors: boolean) {
    this.#line = line;
    this.#render = render;
    this.#hasColors = hasColors;
  }

  toString(): string {
    return `${this.#render(this.#line, this.#hasColors)}\n`;
  }
}

/** The namespaces that say what an operator wants to know; `DEBUG` adds to them. */
const SHOWN =
  'venice-proxy:server,venice-proxy:request-log,venice-proxy:forward,venice-proxy:rate-gate,' +
  'venice-proxy:heartbeat,venice-proxy:answer-head,venice-proxy:relay,venice-proxy:answer-error';

/** Where lines go, and whether colours are understood there. */
export interface LogSink {
  write(line: LogLine): void;
  readonly hasColors: boolean;
}

/** So many lines are kept for one write. */
const MOST_KEPT = 256;
/** While there is one line after the other, they wait for each other so long. */
const KEPT_MS = 20;

/**
 * To a file or a pipe each write stops the program for a while: so many lines, one write. And many
 * lines are made into text one after the other in less time than each by itself, in between.
 */
class StandardError implements LogSink {
  #kept: LogLine[] = [];
  #flushedAt = -Infinity;

  constructor() {
    process.on('exit', () => this.#flush());
  }

  get hasColors(): boolean {
    return process.stderr.isTTY && process.stderr.hasColors();
  }

  write(line: LogLine): void {
    if (this.#kept.length === 0) this.#flushSoon();
    if (this.#kept.push(line) === MOST_KEPT) this.#flush();
  }

  #flushSoon(): void {
    const flush = (): void => this.#flush();
    if (performance.now() - this.#flushedAt < KEPT_MS) setTimeout(flush, KEPT_MS);
    else setImmediate(flush);
  }

  #flush(): void {
    if (this.#kept.length === 0) return;
    const text = this.#kept.join('');
    this.#kept = [];
    this.#flushedAt = performance.now();
    process.stderr.write(text);
  }
}

let standardError: LogSink | undefined;

const debugServer = createDebug('venice-proxy:server');

/** Writes a line of the server's own, in the form that the library's lines have. */
export function logServer(message: string, fields: Fields = {}): void {
  debugServer('%s%F', message, fields);
}

/**
 * Turns log lines on and gives them their form, those of every package that logs through `debug`:
 * one line each, whatever stands in them.
 */
export function setUpLogs(
  { logFormat, debug }: Pick<ServerSettings, 'logFormat' | 'debug'>,
  sink: LogSink = (standardError ??= new StandardError()),
): void {
  const render = logFormat === 'json' ? renderJson : renderPretty;
  let fields: Fields = {};
  // debug calls the formatter, then `formatArgs`, then `log`, one right after the other; so the
  // fields can be kept aside instead of becoming text.
  createDebug.formatters['F'] = (value: Fields): string => {
    fields = value;
    return '';
  };
  createDebug.formatArgs = function formatLine(this: Debugger, args: unknown[]): void {
    const { namespace: name, color } = this;
    // The library's lines need no formatting: these are nearly all.
    const [form, text] = args;
    const isPlain = form === '%s' && args.length === 2 && typeof text === 'string';
    const message = isPlain ? text : format(...args);
    const line = { at: Date.now(), name, color, message, fields };
    fields = {};
    args.length = 1;
    args[0] = new LogLine(line, render, sink.hasColors);
  };
  createDebug.log = (line: LogLine): void => sink.write(line);
  createDebug.enable(`${SHOWN},${debug}`);
}

function renderJson({ at, name, message, fields }: Line): string {
  const line = {
    time: new Date(at).toISOString(),
    name,
    message: message.replace(ANSI_STYLE, ''),
    ...fields,
  };
  return escapeControls(JSON.stringify(line));
}

function renderPretty({ at: ms, name, color, message, fields }: Line, hasColors: boolean): string {
  const at = new Date(ms);
  const clock = `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, '0')}`;
  // Other packages' lines may be inspected objects, on several lines and in colours.
  const text = name.startsWith('venice-proxy:') ? escapeControls(message) : message;
  const details = escapeControls(formatFields(fields));
  return hasColors
    ? `\u001b[2m${clock}\u001b[22m \u001b[38;5;${color};1m${name}\u001b[0m ${text}\u001b[2m${details}\u001b[22m`
    : `${clock} ${name} ${text}${details}`;
}

function formatFields(fields: Fields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => {
      const shown = String(value);
      return ` ${name}=${/^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown)}`;
    })
    .join('');
}

// oxlint-disable-next-line no-control-regex -- colours of inspected objects
const ANSI_STYLE = /\u001b\[[\d;]*m/g;

// A client that names its model with line ends or escape codes writes no lines of its own into the
// log, and moves no terminal's cursor.
// oxlint-disable-next-line no-control-regex -- meant
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** As JSON escapes them, so that JSON stays what it was. */
function escapeControls(text: string): string {
  return text.replace(
    CONTROLS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
