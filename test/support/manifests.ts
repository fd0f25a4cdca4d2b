import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  Cluster,
  type ICluster,
  type IPooler,
  Pooler,
} from '@kubernetes-models/cloudnative-pg/postgresql.cnpg.io/v1';
import { HTTPRoute, type IHTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import {
  type IPrometheusRule,
  type IServiceMonitor,
  PrometheusRule,
  ServiceMonitor,
} from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Deployment, type IDeployment } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler, type IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { CronJob, type ICronJob, type IJob, Job } from 'kubernetes-models/batch/v1';
import { type INetworkPolicy, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { type IPodDisruptionBudget, PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import {
  ConfigMap,
  type IConfigMap,
  type INamespace,
  type IPodTemplateSpec,
  type ISecret,
  type IService,
  type IServiceAccount,
  Namespace,
  Secret,
  Service,
  ServiceAccount,
} from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';

/** Everything that the overlays may hold. */
export type Manifest =
  | ICluster
  | IConfigMap
  | ICronJob
  | IDeployment
  | IHTTPRoute
  | IHorizontalPodAutoscaler
  | IJob
  | INamespace
  | INetworkPolicy
  | IPodDisruptionBudget
  | IPooler
  | IPrometheusRule
  | ISecret
  | IService
  | IServiceAccount
  | IServiceMonitor;

/** What validates each of them: types, required fields, accepted values. Unknown fields it lets pass. */
export const models = [
  Cluster,
  ConfigMap,
  CronJob,
  Deployment,
  HTTPRoute,
  HorizontalPodAutoscaler,
  Job,
  Namespace,
  NetworkPolicy,
  PodDisruptionBudget,
  Pooler,
  PrometheusRule,
  Secret,
  Service,
  ServiceAccount,
  ServiceMonitor,
];

const FOLDER = fileURLToPath(new URL('../../k8s/', import.meta.url));

/** The program that renders kustomizations, with its first arguments; undefined where there is none. */
export const kustomize = [
  ['kubectl', 'kustomize'],
  ['kustomize', 'build'],
].find(([program = '']) => spawnSync(program, ['version', '--client']).error === undefined);
if (kustomize === undefined) {
  process.stderr.write(
    'SKIPPED: the manifests in k8s/ were not looked at, for there is neither kubectl nor kustomize\n',
  );
}

/** Renders a folder of `k8s/`; throws what kustomize says. */
export function render(folder: string): Manifest[] {
  const [program = '', ...first] = kustomize ?? [];
  const { status, stdout, stderr } = spawnSync(program, [...first, FOLDER + folder], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
}

/** All of one kind. */
export function all<K extends Manifest['kind']>(
  manifests: readonly Manifest[],
  kind: K,
): Extract<Manifest, { kind: K }>[] {
  return manifests.filter((each): each is Extract<Manifest, { kind: K }> => each.kind === kind);
}

/** The one of this kind and name, or of the kind alone; throws when there is none. */
export function one<K extends Manifest['kind']>(manifests: readonly Manifest[], kind: K, name = 'ordo') {
  const found = all(manifests, kind).find(({ metadata }) => metadata?.name === name);
  if (found === undefined) throw new Error(`There is no ${kind} ${name}`);
  return found;
}

/** Pods that the manifests lead to, each with the name of what makes it. */
export function podsOf(manifests: readonly Manifest[]): { name: string; pod: IPodTemplateSpec }[] {
  const templates = manifests.map((each) => {
    if (each.kind === 'Deployment' || each.kind === 'Job') return { each, pod: each.spec?.template };
    return { each, pod: each.kind === 'CronJob' ? each.spec.jobTemplate.spec?.template : undefined };
  });
  return templates.flatMap(({ each, pod }) =>
    pod === undefined ? [] : [{ name: `${each.kind} ${each.metadata?.name ?? ''}`, pod }],
  );
}

/** Containers of all these pods. */
export function containersOf(manifests: readonly Manifest[]) {
  return podsOf(manifests).flatMap(({ name, pod }) =>
    (pod.spec?.containers ?? []).map((container) => ({ name: `${name}/${container.name}`, container })),
  );
}

/** The pod of the service itself, and its container. */
export function apiOf(manifests: readonly Manifest[]) {
  const deployment = one(manifests, 'Deployment');
  const pod = deployment.spec!.template.spec!;
  return { deployment, pod, container: pod.containers[0]! };
}

/** What the generated ConfigMap gives to the service. */
export function configurationOf(manifests: readonly Manifest[]): Record<string, string> {
  const name = apiOf(manifests).container.envFrom?.[0]?.configMapRef?.name;
  return one(manifests, 'ConfigMap', name).data ?? {};
}
