import createDebug from 'debug';
import { format } from 'node:util';
import type { Reply } from '../helpers/serve.ts';

const MARK = /venice-proxy:(\S+) (.*)$/;

/** Every line of the proxy's log, and whatever else it tells anybody, while this records. */
export class Told {
  readonly lines: string[] = [];
  /** Error bodies, answer headers, hook events. */
  readonly others: string[] = [];
  readonly #log = createDebug.log;

  record(): void {
    createDebug.log = (...args: unknown[]) => void this.lines.push(format(...args));
    createDebug.enable('venice-proxy:*');
  }

  stop(): void {
    createDebug.disable();
    createDebug.log = this.#log;
  }

  /** An answer: its headers, and its body, in which no upstream of these tests echoes anything. */
  note({ rawHeaders, text }: Reply): void {
    this.others.push(rawHeaders.join('\n'), text);
  }

  /** Which of these stand in anything that was told. */
  leaksOf(secrets: readonly string[]): string[] {
    const everything = [...this.lines, ...this.others].join('\n');
    return secrets.filter((secret) => everything.includes(secret));
  }
}

/** Lines of one namespace, without what `debug` puts in front of them. */
export function linesOf(lines: readonly string[], name: string): string[] {
  return lines.flatMap((line) => {
    const [, space, text = ''] = MARK.exec(line) ?? [];
    return space === name ? [text] : [];
  });
}

/** What went wrong, as the log tells it: the message, and its reason or code. */
export function troublesIn(lines: readonly string[]): string[] {
  return [...linesOf(lines, 'forward'), ...linesOf(lines, 'relay')].map((line) => {
    const message = line.replace(/ \w+=.*$/, '');
    const why = / (?:reason|code)=("(?:[^"\\]|\\.)*"|\S+)/.exec(line)?.[1];
    return why === undefined ? message : `${message}: ${why.replaceAll(/^"|"$/g, '')}`;
  });
}
