import { readFileSync } from 'node:fs';
import { parse, parseAllDocuments } from 'yaml';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../libs/mesh/src/config/config.loader.js';
import { SystemClock } from '../../libs/mesh/src/core/clock.js';
import { MeshEvents } from '../../libs/mesh/src/core/mesh.events.js';
import { meshSchema, misplacedOptions } from '../../libs/mesh/src/mesh.options.js';

interface Probe {
  readonly httpGet: { readonly path: string };
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}

interface Manifest {
  readonly data: Readonly<Record<string, string>>;
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly {
          readonly env: readonly { readonly name: string; readonly value?: string }[];
          readonly startupProbe: Probe;
          readonly readinessProbe: Probe;
          readonly livenessProbe: Probe;
        }[];
      };
    };
  };
}

const page = readFileSync('docs/production.md', 'utf8');
const manifests = parseAllDocuments(/```yaml\n([\s\S]*?)\n```/.exec(page)![1]!).map((part) => part.toJS() as Manifest);
const [deployment, configMap] = manifests as [Manifest, Manifest];
const pod = deployment.spec.template.spec;
const [container] = pod.containers;

/** The configuration that a pod of these manifests would have. */
async function configOfPod() {
  const set = container!.env.filter(({ name }) => name !== 'MESH_CONFIG_FILE');
  const env = Object.fromEntries(set.map(({ name, value }) => [name, value ?? 'x'.repeat(16)]));
  const value = { service: { name: 'orders' }, ...(JSON.parse(configMap.data['mesh.json']!) as object) };
  const parts = { schema: meshSchema, misplaced: misplacedOptions, events: new MeshEvents(), clock: new SystemClock() };
  const store = await loadConfig({ ...parts, value, env });
  return store.snapshot;
}

describe('the manifests of docs/production.md', () => {
  it('give a valid configuration, with the probes where they say', async () => {
    const { health, ops } = await configOfPod();
    const { startupProbe, readinessProbe, livenessProbe } = container!;

    expect(health.http).toEqual({
      paths: {
        startup: startupProbe.httpGet.path,
        ready: readinessProbe.httpGet.path,
        live: livenessProbe.httpGet.path,
      },
    });
    expect(ops).toMatchObject({ enabled: true, port: 9090, host: '0.0.0.0' });
  });

  it('leave the start and the shutdown the time that they may take', async () => {
    const { lifecycle } = await configOfPod();
    const { startupProbe } = container!;

    expect(startupProbe.periodSeconds * startupProbe.failureThreshold * 1_000).toBeGreaterThan(lifecycle.start.totalMs);
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThanOrEqual(lifecycle.shutdown.totalMs + 5_000);
  });
});

describe('the alerts of docs/production.md', () => {
  it('are those of ops/prometheus-rules.yml', () => {
    const { groups } = parse(readFileSync('ops/prometheus-rules.yml', 'utf8')) as {
      groups: { rules: { alert?: string }[] }[];
    };
    const shipped = groups.flatMap(({ rules }) => rules.flatMap(({ alert }) => alert ?? []));
    const described = [...page.matchAll(/^\| `(Mesh\w+)`/gm)].map(([, alert]) => alert);
    expect(described.toSorted()).toEqual(shipped.toSorted());
  });
});
