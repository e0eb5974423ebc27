import type { Address } from './http-client.ts';

/** A program between client and upstream that is measured. */
export interface Subject {
  readonly name: SubjectName;
  readonly title: string;
  /** Its requests, beside the port. */
  readonly address: (upstreamPort: number) => Omit<Address, 'port'>;
  /** The works that it is measured with, unless others are asked for; `undefined`: all. */
  readonly works?: readonly string[];
  /** Works in which it would never come to an end, and why. */
  readonly cannot?: Readonly<Record<string, string>>;
  /** Measured with what it does not do, too: what others do is compared with it. */
  readonly isReference?: true;
}

export type SubjectName =
  | 'node-pipe'
  | 'bare-hpm'
  | 'naive'
  | 'fastify'
  | 'portkey'
  | 'waiting-room'
  | 'ours'
  | 'ours-app'
  | 'ours-no-logs'
  | 'ours-no-gate'
  | 'ours-no-retry'
  | 'ours-no-rewrite'
  | 'ours-no-heartbeat'
  | 'ours-no-metrics'
  | 'ours-no-status'
  | 'ours-bare';

/** Ours without a feature, or elsewhere. */
export function isVariant({ name }: Subject): boolean {
  return name.startsWith('ours-');
}

/** What everything is compared with. */
export const BASE: SubjectName = 'bare-hpm';

const asVenice = (): Omit<Address, 'port'> => ({ prefix: '/api/v1', headers: {} });

/** Where a feature shows what it costs. */
const VARIANT_WORKS = ['chat', 'stream'];
/** Only what has a gate can hold a crowd. */
const CROWD = 'crowd';
/** What growth is shown of. */
const GROWING: ReadonlySet<SubjectName> = new Set<SubjectName>(['bare-hpm', 'ours']);

/** Whether a subject is measured with a work, unless others are asked for. */
export function isMeasured({ name, works }: Subject, work: string): boolean {
  // That section starts by itself what it measures.
  if (work === 'cold-start') return name === BASE;
  if (work.startsWith('growth-')) return GROWING.has(name);
  if (works !== undefined) return works.includes(work);
  return work !== CROWD || name === 'ours';
}

export const SUBJECTS: readonly Subject[] = [
  { name: 'node-pipe', title: 'bare `node:http` pipe', address: asVenice, isReference: true },
  {
    name: 'bare-hpm',
    title: 'Express 5 + http-proxy-middleware',
    address: asVenice,
    isReference: true,
  },
  {
    name: 'naive',
    title: 'the same, with bodies parsed and answers collected',
    address: asVenice,
    cannot: { 'open-streams': 'collects a stream until its end' },
  },
  { name: 'fastify', title: '`@fastify/http-proxy`', address: asVenice },
  {
    name: 'portkey',
    title: '`@portkey-ai/gateway`',
    address: (upstreamPort) => ({
      prefix: '/v1',
      headers: {
        'x-portkey-provider': 'openai',
        'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/api/v1`,
      },
    }),
  },
  {
    name: 'waiting-room',
    title: 'Express that only keeps requests and bodies, and one timer',
    address: asVenice,
    works: [CROWD],
  },
  { name: 'ours', title: '**the bundled server**, everything on', address: asVenice },
  {
    name: 'ours-app',
    title: 'ours in a plain Express 5 app',
    address: asVenice,
    works: [...VARIANT_WORKS, 'chat-drop'],
  },
  { name: 'ours-no-logs', title: 'ours without logs', address: asVenice, works: VARIANT_WORKS },
  { name: 'ours-no-gate', title: 'ours without the gate', address: asVenice, works: VARIANT_WORKS },
  { name: 'ours-no-retry', title: 'ours without retries', address: asVenice, works: VARIANT_WORKS },
  {
    name: 'ours-no-rewrite',
    title: 'ours without rewriting',
    address: asVenice,
    works: VARIANT_WORKS,
  },
  {
    name: 'ours-no-heartbeat',
    title: 'ours without heartbeats',
    address: asVenice,
    works: VARIANT_WORKS,
  },
  {
    name: 'ours-no-metrics',
    title: 'ours without metrics',
    address: asVenice,
    works: VARIANT_WORKS,
  },
  {
    name: 'ours-no-status',
    title: 'ours without the status page',
    address: asVenice,
    works: VARIANT_WORKS,
  },
  {
    name: 'ours-bare',
    title: 'ours without any of these',
    address: asVenice,
    works: VARIANT_WORKS,
  },
];
