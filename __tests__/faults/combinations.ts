import type { FaultName, Phase } from './vocabulary.ts';

const NO_HTTP = 'there is no HTTP yet';
const CONNECTED = 'the connection is there already';
const HEAD_IS_OUT = 'the head is there already';
const NEW_CONNECTION = 'it would be a new connection';
const NO_ANSWER = 'there is no answer yet: see "waiting for the head"';
const SAME_ANSWER = 'the same as on a new connection';
const BODY_IS_OUT = 'the body is out already';

/** Faults that have no meaning in a phase, and why. All others must be in the matrix. */
export const MEANINGLESS: Readonly<Record<Phase, Readonly<Partial<Record<FaultName, string>>>>> = {
  connecting: {
    'too long': NO_HTTP,
    'too short': NO_HTTP,
    headers: NO_HTTP,
    interim: NO_HTTP,
    bodiless: NO_HTTP,
    gzip: NO_HTTP,
    early: NO_HTTP,
  },
  sending: {
    refused: CONNECTED,
    'too long': NO_ANSWER,
    'too short': NO_ANSWER,
    gzip: NO_ANSWER,
    tls: CONNECTED,
    dns: CONNECTED,
  },
  waiting: {
    refused: CONNECTED,
    'too long': 'it shows in the body',
    'too short': 'it shows in the body',
    gzip: 'it shows in the body',
    early: BODY_IS_OUT,
    tls: CONNECTED,
    dns: CONNECTED,
  },
  first: {
    refused: CONNECTED,
    headers: HEAD_IS_OUT,
    interim: HEAD_IS_OUT,
    'too short': 'a body of no length is whole',
    bodiless: HEAD_IS_OUT,
    early: BODY_IS_OUT,
    tls: CONNECTED,
    dns: CONNECTED,
  },
  body: {
    refused: CONNECTED,
    headers: HEAD_IS_OUT,
    interim: HEAD_IS_OUT,
    bodiless: HEAD_IS_OUT,
    early: BODY_IS_OUT,
    tls: CONNECTED,
    dns: CONNECTED,
  },
  between: {
    refused: NEW_CONNECTION,
    'too long': SAME_ANSWER,
    headers: SAME_ANSWER,
    gzip: SAME_ANSWER,
    tls: NEW_CONNECTION,
    dns: NEW_CONNECTION,
  },
};
