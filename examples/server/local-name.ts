import { isLoopback } from './settings.ts';

/** The name or address in a `Host` header, without its port. */
export function hostNameOf(host: string): string {
  return host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
}

/** Whether a name leads to this machine wherever it is asked for, so that nobody can redirect it. */
export function isLocalName(name: string): boolean {
  return isLoopback(name) || name.endsWith('.localhost');
}
