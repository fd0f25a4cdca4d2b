import { all, apiOf, configurationOf, containersOf, one } from '../manifests.js';
import { api, type Manifests, matches, type Property, unless } from './property.js';

/** In seconds: the time that a pod has between being told to stop and being killed. */
function timeToStop(manifests: Manifests): number {
  const { SHUTDOWN_DELAY_MS, SHUTDOWN_TIMEOUT_MS } = configurationOf(manifests);
  const preStop = api(manifests).lifecycle?.preStop?.sleep?.seconds ?? 0;
  return preStop + (Number(SHUTDOWN_DELAY_MS) + Number(SHUTDOWN_TIMEOUT_MS)) / 1_000;
}

/** What pods need, how they come and go, and that none of it is left to chance. */
export const operation: Property[] = [
  {
    name: 'memory and processor are asked for, and memory is limited to what was asked for',
    standsFor:
      'kube-score container-resources, kube-linter unset-memory-requirements, polaris cpuRequestsMissing, memoryRequestsMissing and memoryLimitsMissing, checkov CKV_K8S_10, CKV_K8S_12 and CKV_K8S_13, trivy KSV015, KSV016 and KSV018; not CKV_K8S_11 and KSV011: a limit for the processor throttles',
    overlay: 'production',
    faults: (all) =>
      unless(containersOf(all), ({ container: { resources } }) => {
        const { requests, limits } = resources ?? {};
        return (
          requests?.cpu !== undefined && requests.memory !== undefined && requests.memory === limits?.memory
        );
      }),
    break: (all) => (api(all).resources!.limits!.memory = '1Gi'),
  },
  {
    name: 'what may be written to the disk of the node is limited',
    standsFor: 'kube-score container-ephemeral-storage-request-and-limit',
    faults: (all) =>
      unless(
        containersOf(all),
        ({ container: { resources } }) =>
          resources?.requests?.['ephemeral-storage'] !== undefined &&
          resources.limits?.['ephemeral-storage'] !== undefined,
      ),
    break: (all) => delete api(all).resources!.limits!['ephemeral-storage'],
  },
  {
    name: 'images have a version, which is not the latest',
    standsFor:
      'kube-score container-image-tag, kube-linter latest-tag, polaris tagNotSpecified, checkov CKV_K8S_14, trivy KSV013',
    faults: (all) =>
      unless(containersOf(all), ({ container }) =>
        /(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$/.test(container.image ?? ''),
      ),
    break: (all) => (api(all).image = 'registry.example/ordo:latest'),
  },
  {
    name: 'what serves is asked whether it lives and whether it is ready, differently',
    standsFor:
      'kube-score pod-probes and pod-probes-identical, kube-linter no-liveness-probe and no-readiness-probe, polaris livenessProbeMissing and readinessProbeMissing, checkov CKV_K8S_8 and CKV_K8S_9',
    faults: (all) => [
      ...unless(
        containersOf(all).filter(({ container }) => container.ports !== undefined),
        ({ container: { livenessProbe, readinessProbe } }) =>
          livenessProbe !== undefined && readinessProbe !== undefined,
      ),
      ...(api(all).startupProbe === undefined ? ['no startupProbe'] : []),
      ...(api(all).livenessProbe?.httpGet?.path === api(all).readinessProbe?.httpGet?.path
        ? ['the same path']
        : []),
    ],
    break: (all) => (api(all).livenessProbe!.httpGet!.path = '/health/ready'),
  },
  {
    name: 'a roll-out takes no pod away before the next one is ready',
    standsFor: 'kube-score deployment-strategy, kube-linter no-rolling-update-strategy',
    faults: (all) => {
      const { type, rollingUpdate } = apiOf(all).deployment.spec!.strategy ?? {};
      return type === 'RollingUpdate' &&
        rollingUpdate?.maxUnavailable === 0 &&
        Number(rollingUpdate.maxSurge) > 0
        ? []
        : ['strategy'];
    },
    break: (all) => (apiOf(all).deployment.spec!.strategy!.rollingUpdate!.maxUnavailable = 1),
  },
  {
    name: 'a pod that leaves has the time to finish what it has taken, and five seconds more',
    standsFor: 'no check of these tools',
    faults: (all) => {
      const grace = apiOf(all).pod.terminationGracePeriodSeconds ?? 30;
      const { REQUEST_TIMEOUT_MS, SHUTDOWN_TIMEOUT_MS } = configurationOf(all);
      return [
        ...(grace >= timeToStop(all) + 5 ? [] : [`${grace} s of grace for ${timeToStop(all)} s`]),
        ...(Number(SHUTDOWN_TIMEOUT_MS) >= Number(REQUEST_TIMEOUT_MS) ? [] : ['a request may take longer']),
        ...(api(all).lifecycle?.preStop?.sleep === undefined ? ['no time for proxies to learn of it'] : []),
      ];
    },
    break: (all) => (apiOf(all).pod.terminationGracePeriodSeconds = 40),
  },
  {
    name: 'the autoscaler alone says how many there are, three at least, and means the Deployment',
    standsFor:
      'kube-score deployment-targeted-by-hpa-does-not-have-replicas-configured and horizontalpodautoscaler-has-target, kube-linter dangling-horizontalpodautoscaler and hpa-minimum-three-replicas, polaris hpaMinAvailability',
    overlay: 'production',
    faults: (all) => {
      const { minReplicas = 0, maxReplicas, scaleTargetRef } = one(all, 'HorizontalPodAutoscaler').spec;
      const { deployment } = apiOf(all);
      return [
        ...(deployment.spec?.replicas === undefined ? [] : ['replicas']),
        ...(minReplicas >= 3 && maxReplicas > minReplicas ? [] : ['too few']),
        ...(scaleTargetRef.kind === deployment.kind && scaleTargetRef.name === deployment.metadata?.name
          ? []
          : ['target']),
      ];
    },
    break: (all) => (apiOf(all).deployment.spec!.replicas = 3),
  },
  {
    name: 'nodes can be drained, one pod at a time',
    standsFor:
      'kube-score deployment-has-poddisruptionbudget, kube-linter pdb-max-unavailable, pdb-unhealthy-pod-eviction-policy, polaris missingPodDisruptionBudget and pdbDisruptionsIsZero',
    overlay: 'production',
    faults: (all) => {
      const { selector, maxUnavailable, unhealthyPodEvictionPolicy } =
        one(all, 'PodDisruptionBudget').spec ?? {};
      const isOurs = matches(apiOf(all).deployment.spec?.template.metadata?.labels, selector?.matchLabels);
      return isOurs && maxUnavailable === 1 && unhealthyPodEvictionPolicy === 'AlwaysAllow' ? [] : ['budget'];
    },
    break: (all) => (one(all, 'PodDisruptionBudget').spec!.maxUnavailable = 0),
  },
  {
    name: 'replicas are on different nodes, and in different zones as far as possible',
    standsFor:
      'kube-score deployment-has-host-podantiaffinity, kube-linter no-anti-affinity, polaris topologySpreadConstraint',
    faults: (all) => {
      const { deployment, pod } = apiOf(all);
      const keys = (pod.topologySpreadConstraints ?? [])
        .filter(({ labelSelector }) =>
          matches(deployment.spec?.template.metadata?.labels, labelSelector?.matchLabels),
        )
        .map(({ topologyKey }) => topologyKey);
      return ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].filter((key) => !keys.includes(key));
    },
    break: (all) => apiOf(all).pod.topologySpreadConstraints!.shift(),
  },
  {
    name: 'every Deployment finds its own pods',
    standsFor:
      'kube-score deployment-pod-selector-labels-match-template-metadata-labels, kube-linter mismatching-selector',
    faults: (manifests) =>
      all(manifests, 'Deployment')
        .filter(({ spec }) => !matches(spec?.template.metadata?.labels, spec?.selector.matchLabels))
        .map(({ metadata }) => metadata?.name ?? ''),
    break: (all) => (apiOf(all).deployment.spec!.selector.matchLabels!['app.kubernetes.io/name'] = 'other'),
  },
  {
    name: 'jobs end: each has a deadline, and no check runs beside itself',
    standsFor: 'kube-score cronjob-has-deadline and cronjob-restartpolicy, kube-linter job restart policy',
    overlay: 'production',
    faults: (manifests) => {
      const checks = all(manifests, 'CronJob').map(({ spec }) => spec);
      const jobs = [
        ...all(manifests, 'Job').map(({ spec }) => spec),
        ...checks.map((spec) => spec.jobTemplate.spec),
      ];
      return [
        ...jobs
          .filter(
            (spec) =>
              spec?.activeDeadlineSeconds === undefined || spec.template.spec?.restartPolicy !== 'Never',
          )
          .map(() => 'a Job without end'),
        ...checks
          .filter((spec) => spec.concurrencyPolicy !== 'Forbid' || spec.startingDeadlineSeconds === undefined)
          .map(() => 'a CronJob'),
      ];
    },
    break: (all) => (one(all, 'CronJob', 'ordo-integrity').spec.concurrencyPolicy = 'Allow'),
  },
  {
    name: 'no variable is given twice',
    standsFor: 'kube-score environment-variable-key-duplication, kube-linter duplicate-env-var',
    faults: (all) =>
      containersOf(all).flatMap(({ container: { env = [] } }) => {
        const names = env.map(({ name }) => name);
        return names.filter((name, index) => names.indexOf(name) !== index);
      }),
    break: (all) => api(all).env!.push({ name: 'DATABASE_URL_FILE', value: '/elsewhere' }),
  },
];
