import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createMetrics } from '../lib/metrics/index.ts';
import { ROOT } from './helpers/program.ts';

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: unknown }[];
  };
}

const FOLDER = path.join(ROOT, 'examples/monitoring');
const read = (file: string): Promise<string> => readFile(path.join(FOLDER, file), 'utf8');

let dashboard: Dashboard;
/** Series by name, with the labels that each may have. */
let series: Map<string, readonly string[]>;

beforeAll(async () => {
  dashboard = JSON.parse(await read('dashboard.json'));
  const register = new Registry();
  createMetrics({ register });
  const metrics = await register.getMetricsAsJSON();
  series = new Map(
    metrics.map(({ name, type }) => {
      const labels: unknown = Reflect.get(register.getSingleMetric(name) ?? {}, 'labelNames');
      const known = Array.isArray(labels) ? labels.map(String) : [];
      return String(type) === 'histogram' ? [`${name}_bucket`, [...known, 'le']] : [name, known];
    }),
  );
});

describe('the Grafana dashboard', () => {
  test('asks only for metrics and labels that there are', () => {
    const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(queries.length).toBeGreaterThan(12);
    for (const query of queries) {
      const names = [...query.matchAll(/venice_proxy_\w+/g)].map(([name]) => name);
      expect(names).not.toEqual([]);
      const labels = [...query.matchAll(/(?:by \(([^)]*)\)|\{(\w+)=~)/g)]
        .flatMap(([, by = '', selected = '']) => `${by},${selected}`.split(','))
        .map((label) => label.trim())
        .filter((label) => label !== '');
      for (const name of names) {
        expect([...series.keys()]).toContain(name);
        for (const label of labels) expect([name, ...(series.get(name) ?? [])]).toContain(label);
      }
    }
  });

  test('shows every metric', () => {
    const text = JSON.stringify(dashboard);
    for (const name of series.keys()) expect(text).toContain(name);
  });

  test('has brackets that close, legends of labels that are asked for, variables that exist', () => {
    const variables = dashboard.templating.list.map(({ name }) => name);
    for (const { targets } of dashboard.panels) {
      for (const { expr, legendFormat } of targets) {
        for (const [open = '', close = ''] of [
          ['(', ')'],
          ['[', ']'],
          ['{', '}'],
        ]) {
          expect(expr.split(open)).toHaveLength(expr.split(close).length);
        }
        for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
          expect(expr).toContain(label);
        for (const [, name = ''] of expr.matchAll(/\$(?!__)(\w+)/g))
          expect(variables).toContain(name);
      }
    }
  });

  test('has panels that lie beside each other', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  });

  test('is what Grafana gets, from the data source that it has', async () => {
    const compose = await read('compose.yaml');
    const mounted = [...compose.matchAll(/- \.\/([\w.-]+):/g)].map(([, file = '']) => file);
    expect(mounted).toHaveLength(4);
    const files = await Promise.all(mounted.map(read));
    expect(files).not.toContain('');
    expect(await read('grafana-datasource.yml')).toContain('http://prometheus:9090');
    expect(await read('prometheus.yml')).toContain("['venice-proxy:9000']");
  });
});
