import { ANSWERED, UNREACHABLE, all } from './expected.ts';
import type { ConnectStep, FaultName, Row } from './vocabulary.ts';

function row(fault: FaultName, how: string, connect: ConnectStep): Row {
  return { phase: 'connecting', fault, how, connect, cells: all(UNREACHABLE) };
}

/** The target speaks TLS: its handshake is a part of connecting. */
export const CONNECTING: readonly Row[] = [
  row('refused', 'nobody listens', 'nobody listens'),
  row('reset', 'within the handshake', { handshake: ['reset'] }),
  { ...row('silent', 'the look-up never ends', 'the look-up never ends'), short: ['connect'] },
  {
    ...row('silent', 'the handshake never ends', { handshake: ['be silent'] }),
    short: ['connect'],
  },
  {
    ...row('slow', 'a slow look-up', 'the look-up takes 60 ms'),
    cells: all(ANSWERED),
  },
  row('half', 'the connection is closed within the handshake', {
    handshake: [{ send: [{ bytes: '\u0016\u0003\u0003\u0000z\u0002\u0000' }] }, 'close'],
  }),
  row('garbage', 'HTTP in place of TLS', {
    handshake: [{ send: [{ bytes: 'HTTP/1.1 400 Bad Request\r\n\r\n' }] }, 'close'],
  }),
  row('tls', 'nobody vouches for the certificate', 'the certificate is unknown'),
  row('dns', 'the name is unknown', 'the name is unknown'),
];
