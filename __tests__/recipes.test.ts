import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { settingsFromEnv } from '../examples/server/settings.ts';
import { PROXY_VARIABLES, SERVER_VARIABLES } from '../examples/server/variables.ts';
import { optionsFromEnv } from '../lib/options-from-env.ts';
import { ROOT } from './helpers/program.ts';
import { send } from './helpers/serve.ts';
import { startTestServer } from './helpers/start-test-server.ts';

const VARIABLES = { ...PROXY_VARIABLES, ...SERVER_VARIABLES };
const MAIN = 'dist/examples/server/main.js';
const read = (file: string): Promise<string> => readFile(path.join(ROOT, file), 'utf8');

/** How long the server lets open answers go on, in seconds. */
const GRACE = Number(SERVER_VARIABLES.SHUTDOWN_GRACE.fallback);

const assignments = async (): Promise<[string, string][]> =>
  [...(await read('.env.example')).matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(
    ([, name = '', value = '']) => [name, value.replace(/^'(.*)'$/, '$1')],
  );

describe('.env.example', () => {
  test('has every variable once, with its default, and sets none', async () => {
    const known = Object.entries(VARIABLES).map(([name, { fallback }]) => [name, fallback]);
    expect(await assignments()).toEqual(known);
    expect(await read('.env.example')).not.toMatch(/^[^#\n]/m);
  });

  test('says what each is, as --help does', async () => {
    const text = await read('.env.example');
    for (const [name, { help }] of Object.entries(VARIABLES))
      expect(text).toContain(`# ${help}\n#${name}=`);
  });

  test('with all of them in force is valid, and is the default', async () => {
    const env = Object.fromEntries(await assignments());
    const surroundings = { lendsKey: false, isTerminal: true };
    expect(settingsFromEnv(env, surroundings)).toEqual(settingsFromEnv({}, surroundings));
    expect(() => optionsFromEnv(env)).not.toThrow();
  });
});

describe('the compose file', () => {
  test('hands on every variable but those that the image fixes', async () => {
    const { services } = parse(await read('compose.yaml')) as Compose;
    const { LOG_FORMAT, ...handedOn } = services['venice-proxy'].environment;
    expect(LOG_FORMAT).toBe('json');
    const names = Object.keys(VARIABLES).filter(
      (name) => !['HOST', 'PORT', 'LOG_FORMAT'].includes(name),
    );
    expect(handedOn).toEqual(Object.fromEntries(names.map((name) => [name, `\${${name}:-}`])));
  });
});

/** What is looked at of the compose file. */
interface Compose {
  readonly services: {
    readonly 'venice-proxy': { readonly environment: Readonly<Record<string, string>> };
  };
}

test('nginx takes what the proxy takes, and waits longer than it does', async () => {
  const { PORT, PROXY_PATH_PREFIX, BODY_LIMIT, MAX_WAIT, TIMEOUT } = VARIABLES;
  const text = await read('docs/deployment.md');
  expect(text).toContain(`location ${PROXY_PATH_PREFIX.fallback}/ {`);
  expect(text).toContain(`proxy_pass http://127.0.0.1:${PORT.fallback};`);
  expect(`${/client_max_body_size (\d+m);/.exec(text)?.[1]}b`).toBe(BODY_LIMIT.fallback);
  const seconds = Number(/proxy_read_timeout (\d+)s;/.exec(text)?.[1]);
  expect(seconds).toBeGreaterThan(Number(MAX_WAIT.fallback) + Number(TIMEOUT.fallback));
});

const unit = async (name: string): Promise<string | undefined> =>
  new RegExp(`^${name}=(.*)$`, 'm').exec(await read('examples/systemd/venice-proxy.service'))?.[1];

describe('the systemd unit', () => {
  test('refuses calls that are not allowed, and does not kill: Node tries some', async () => {
    expect(await unit('SystemCallErrorNumber')).toBe('EPERM');
  });

  test('starts node with the program that the package has', async () => {
    const start = await unit('ExecStart');
    expect(start).toBe(`/usr/bin/node /opt/venice-proxy/node_modules/venice-proxy/${MAIN}`);
    await expect(access(path.join(ROOT, MAIN))).resolves.toBeUndefined();
  });

  test('waits for open answers, and has room for all connections', async () => {
    expect(Number(await unit('TimeoutStopSec'))).toBeGreaterThan(GRACE);
    const connections = Number(SERVER_VARIABLES.MAX_CONNECTIONS.fallback);
    expect(Number(await unit('LimitNOFILE'))).toBeGreaterThan(2 * connections);
  });
});

/** What is looked at of the Deployment. */
interface Deployment {
  readonly spec: {
    readonly selector: { readonly matchLabels: object };
    readonly template: {
      readonly metadata: { readonly labels: object };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly securityContext: { readonly runAsNonRoot: boolean };
        readonly containers: readonly [Container];
      };
    };
  };
}
interface Container {
  readonly ports: readonly [{ readonly name: string; readonly containerPort: number }];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly securityContext: { readonly readOnlyRootFilesystem: boolean };
}
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}
interface Service {
  readonly spec: { readonly selector: object; readonly ports: readonly [{ targetPort: string }] };
}

async function recipe(): Promise<{ deployment: Deployment; service: Service }> {
  const documents = parseAllDocuments(await read('examples/kubernetes/venice-proxy.yaml'));
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  const [deployment, service]: unknown[] = documents.map((each): unknown => each.toJS());
  expect([deployment, service]).toMatchObject([{ kind: 'Deployment' }, { kind: 'Service' }]);
  // The assertions below say what is missing.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { deployment: deployment as Deployment, service: service as Service };
}

describe('the Kubernetes recipe', () => {
  test('sets variables that there are', async () => {
    const { deployment } = await recipe();
    const [{ env }] = deployment.spec.template.spec.containers;
    expect(Object.keys(VARIABLES)).toEqual(expect.arrayContaining(env.map(({ name }) => name)));
  });

  test('probes what the server answers, at its port', async () => {
    const { deployment, service } = await recipe();
    const { metadata, spec } = deployment.spec.template;
    const [{ ports, livenessProbe, readinessProbe }] = spec.containers;
    expect(ports[0].containerPort).toBe(Number(SERVER_VARIABLES.PORT.fallback));
    expect(service.spec.ports[0].targetPort).toBe(ports[0].name);
    expect(deployment.spec.selector.matchLabels).toEqual(metadata.labels);
    expect(service.spec.selector).toEqual(metadata.labels);
    const { origin } = await startTestServer();
    for (const { httpGet } of [livenessProbe, readinessProbe]) {
      expect(httpGet.port).toBe(ports[0].name);
      // oxlint-disable-next-line no-await-in-loop -- two of them
      expect((await send(origin + httpGet.path)).status).toBe(200);
    }
  });

  test('waits for open answers, as an ordinary user without a file system to write to', async () => {
    const { spec } = (await recipe()).deployment.spec.template;
    const [{ lifecycle, securityContext }] = spec.containers;
    const { seconds } = lifecycle.preStop.sleep;
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(seconds + GRACE);
    expect(spec.securityContext.runAsNonRoot).toBe(true);
    expect(securityContext.readOnlyRootFilesystem).toBe(true);
  });
});
