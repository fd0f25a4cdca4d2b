import { all, apiOf, configurationOf, containersOf, type Manifest, one, podsOf } from './manifests.js';

type Manifests = readonly Manifest[];

/** What holds for an overlay, and the checks of other tools that it stands for. */
export interface Property {
  readonly name: string;
  readonly standsFor: string;
  /** Only there; else in every overlay. */
  readonly overlay?: 'production';
  /** What is wrong, one line each; empty when it holds. */
  readonly faults: (manifests: Manifests) => string[];
  /** Makes it false, to show that it can be. */
  readonly break: (manifests: Manifests) => void;
}

/** Names of those for which it does not hold. */
function unless<T extends { name: string }>(
  each: readonly T[],
  holds: (one: T) => boolean | undefined,
): string[] {
  return each.filter((one) => holds(one) !== true).map(({ name }) => name);
}

const matches = (labels: object | undefined, selector: object | undefined): boolean =>
  Object.entries(selector ?? {}).every(([key, value]) =>
    Object.entries(labels ?? {}).some(([k, v]) => k === key && v === value),
  );

/** Pods that the overlay makes, and those that operators make of it. */
function labelsOfPods(manifests: Manifests): object[] {
  return [
    ...podsOf(manifests).map(({ pod }) => pod.metadata?.labels ?? {}),
    ...all(manifests, 'Cluster').map(({ spec }) => spec.inheritedMetadata?.labels ?? {}),
    ...all(manifests, 'Pooler').map(({ spec }) => spec.template?.metadata?.labels ?? {}),
  ];
}

const api = (manifests: Manifests) => apiOf(manifests).container;

/** In seconds: the time that a pod has between being told to stop and being killed. */
function timeToStop(manifests: Manifests): number {
  const { SHUTDOWN_DELAY_MS, SHUTDOWN_TIMEOUT_MS } = configurationOf(manifests);
  const preStop = api(manifests).lifecycle?.preStop?.sleep?.seconds ?? 0;
  return preStop + (Number(SHUTDOWN_DELAY_MS) + Number(SHUTDOWN_TIMEOUT_MS)) / 1_000;
}

const security: Property[] = [
  {
    name: 'no container can gain privileges',
    standsFor:
      'kube-linter privilege-escalation-container, polaris privilegeEscalationAllowed, checkov CKV_K8S_20, trivy KSV001',
    faults: (all) =>
      unless(
        containersOf(all),
        ({ container }) => container.securityContext?.allowPrivilegeEscalation === false,
      ),
    break: (all) => delete api(all).securityContext!.allowPrivilegeEscalation,
  },
  {
    name: 'all capabilities are dropped, and none is added',
    standsFor:
      'kube-linter drop-net-raw-capability, polaris insecureCapabilities, checkov CKV_K8S_28 and CKV_K8S_37, trivy KSV003',
    faults: (all) =>
      unless(containersOf(all), ({ container: { securityContext } }) => {
        const { drop, add } = securityContext?.capabilities ?? {};
        return drop?.join() === 'ALL' && add === undefined;
      }),
    break: (all) => (api(all).securityContext!.capabilities!.add = ['NET_ADMIN']),
  },
  {
    name: 'the root file system is read-only',
    standsFor:
      'kube-score container-security-context-readonlyrootfilesystem, kube-linter no-read-only-root-fs, polaris notReadOnlyRootFilesystem, checkov CKV_K8S_22, trivy KSV014',
    faults: (all) =>
      unless(
        containersOf(all),
        ({ container }) => container.securityContext?.readOnlyRootFilesystem === true,
      ),
    break: (all) => (api(all).securityContext!.readOnlyRootFilesystem = false),
  },
  {
    name: 'nobody runs as root, nor as a user of the node (PostgreSQL of the overlay dev: its image knows 999)',
    standsFor:
      'kube-score container-security-context-user-group-id, kube-linter run-as-non-root, polaris runAsRootAllowed, checkov CKV_K8S_23 and CKV_K8S_40, trivy KSV012, KSV020 and KSV021',
    faults: (all) =>
      unless(podsOf(all), ({ name, pod }) => {
        const { runAsNonRoot, runAsUser = 0, runAsGroup = 0 } = pod.spec?.securityContext ?? {};
        const least = name === 'Deployment postgres' ? 999 : 10_001;
        return runAsNonRoot === true && runAsUser >= least && runAsGroup >= least;
      }),
    break: (all) => (apiOf(all).pod.securityContext!.runAsUser = 1_000),
  },
  {
    name: 'system calls are filtered',
    standsFor: 'kube-score container-seccomp-profile, checkov CKV_K8S_31, trivy KSV030 and KSV104',
    faults: (all) =>
      unless(podsOf(all), ({ pod }) => pod.spec?.securityContext?.seccompProfile?.type === 'RuntimeDefault'),
    break: (all) => (apiOf(all).pod.securityContext!.seccompProfile!.type = 'Unconfined'),
  },
  {
    name: 'nothing of the node is shared',
    standsFor:
      'kube-linter privileged-container, host-network, host-pid and host-ipc, polaris hostNetworkSet, hostPIDSet and hostIPCSet, checkov CKV_K8S_16 to CKV_K8S_19, trivy KSV008 to KSV010, KSV017 and KSV023',
    faults: (all) => [
      ...unless(podsOf(all), ({ pod: { spec } }) => {
        const isShared = [spec?.hostNetwork, spec?.hostPID, spec?.hostIPC].includes(true);
        return !isShared && spec?.volumes?.every(({ hostPath }) => hostPath === undefined) === true;
      }),
      ...unless(containersOf(all), ({ container }) => container.securityContext?.privileged === false),
    ],
    break: (all) => apiOf(all).pod.volumes!.push({ name: 'node', hostPath: { path: '/' } }),
  },
  {
    name: 'the namespace refuses pods that are not restricted, and everything is in it',
    standsFor:
      'Pod Security Standards (restricted), kube-linter use-namespace, checkov CKV_K8S_21, trivy KSV110',
    faults: (manifests) => [
      ...all(manifests, 'Namespace').flatMap(({ metadata }) =>
        metadata?.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted' ? [] : ['it enforces less'],
      ),
      ...manifests
        .filter(({ kind, metadata }) => kind !== 'Namespace' && metadata?.namespace !== 'ordo')
        .map(({ kind, metadata }) => `${kind} ${metadata?.name ?? ''}`),
    ],
    break: (all) =>
      (one(all, 'Namespace').metadata!.labels!['pod-security.kubernetes.io/enforce'] = 'baseline'),
  },
  {
    name: 'no pod has a token for Kubernetes, nor an account that others use',
    standsFor:
      'kube-linter default-service-account, polaris automountServiceAccountToken, checkov CKV_K8S_38 and CKV_K8S_41, trivy KSV036',
    faults: (manifests) => [
      ...unless(
        podsOf(manifests),
        ({ pod: { spec } }) =>
          spec?.automountServiceAccountToken === false && spec.serviceAccountName === 'ordo',
      ),
      ...all(manifests, 'ServiceAccount').flatMap((each) =>
        each.automountServiceAccountToken === false ? [] : ['the account'],
      ),
    ],
    break: (all) => delete apiOf(all).pod.automountServiceAccountToken,
  },
  {
    name: 'services around are not told by variables, some of which Ordo would read as its own',
    standsFor: 'no check of these tools: a Service named like a prefix of a variable would set it',
    faults: (all) => unless(podsOf(all), ({ pod }) => pod.spec?.enableServiceLinks === false),
    break: (all) => delete apiOf(all).pod.enableServiceLinks,
  },
  {
    name: 'secrets are mounted as files for their owner and group, never given by a variable',
    standsFor:
      'kube-linter env-var-secret and read-secret-from-env-var, polaris sensitiveContainerEnvVar, checkov CKV_K8S_35',
    faults: (all) => [
      ...containersOf(all).flatMap(({ name, container: { env = [], envFrom = [] } }) => [
        ...env
          .filter(
            ({ name: variable, valueFrom }) =>
              valueFrom !== undefined ||
              (/URL|SECRET|KEY|PASSWORD/.test(variable) && !variable.endsWith('_FILE')),
          )
          .map((each) => `${name} ${each.name}`),
        ...envFrom.flatMap(({ secretRef }) =>
          secretRef === undefined ? [] : [`${name} takes all of a Secret`],
        ),
      ]),
      ...podsOf(all).flatMap(({ name, pod }) =>
        (pod.spec?.volumes ?? [])
          .filter(({ secret }) => secret !== undefined && secret.defaultMode !== 0o440)
          .map((volume) => `${name} shows ${volume.name} to everybody`),
      ),
    ],
    break: (all) =>
      api(all).env!.push({ name: 'DATABASE_URL', value: 'postgresql://ordo_app:secret@postgres/ordo' }),
  },
];

const network: Property[] = [
  {
    name: 'what is not allowed between pods is denied, in and out',
    standsFor:
      'kube-score pod-networkpolicy, kube-linter non-isolated-pod, polaris missingNetworkPolicy, checkov CKV2_K8S_6, trivy KSV038',
    faults: (all) => {
      const { podSelector, policyTypes, ingress, egress } = one(all, 'NetworkPolicy', 'default-deny').spec!;
      const isForAll = Object.keys(podSelector ?? {}).length === 0;
      return isForAll &&
        policyTypes?.join() === 'Ingress,Egress' &&
        ingress === undefined &&
        egress === undefined
        ? []
        : ['default-deny'];
    },
    break: (all) => (one(all, 'NetworkPolicy', 'default-deny').spec!.policyTypes = ['Ingress']),
  },
  {
    name: 'every policy says for whom, to or from whom, and at which ports',
    standsFor: 'trivy KSV038 in part',
    faults: (manifests) =>
      all(manifests, 'NetworkPolicy').flatMap(({ metadata, spec }) => {
        const isOpen = [
          ...(spec?.ingress ?? []).map(({ from, ports }) => !from?.length || !ports?.length),
          // An operator's pods ask the API server, whose address only the cluster knows.
          ...(spec?.egress ?? []).map(
            ({ to, ports }) =>
              !ports?.length || (!to?.length && ports.some(({ port }) => port !== 443 && port !== 6443)),
          ),
        ].includes(true);
        return isOpen ? [metadata?.name ?? ''] : [];
      }),
    break: (all) => delete one(all, 'NetworkPolicy', 'dns').spec!.egress![0]!.to,
  },
  {
    name: 'every policy is about pods that there are, and names others that there are',
    standsFor:
      'kube-score networkpolicy-targets-pod, kube-linter dangling-networkpolicy and dangling-networkpolicypeer-podselector',
    faults: (manifests) =>
      all(manifests, 'NetworkPolicy').flatMap(({ metadata, spec }) => {
        const peers = [
          ...(spec?.ingress ?? []).flatMap(({ from = [] }) => from),
          ...(spec?.egress ?? []).flatMap(({ to = [] }) => to),
        ];
        const selectors = [
          spec?.podSelector,
          ...peers
            .filter(({ namespaceSelector }) => !namespaceSelector)
            .map(({ podSelector }) => podSelector),
        ];
        return selectors
          .filter(
            (selector) => !labelsOfPods(manifests).some((labels) => matches(labels, selector?.matchLabels)),
          )
          .map((selector) => `${metadata?.name ?? ''}: ${JSON.stringify(selector)}`);
      }),
    break: (all) =>
      (one(all, 'NetworkPolicy', 'dns').spec!.podSelector = {
        matchLabels: { 'app.kubernetes.io/name': 'ordr' },
      }),
  },
  {
    name: 'the metrics are for the namespace monitoring alone',
    standsFor: 'no check of these tools',
    overlay: 'production',
    faults: (manifests) => {
      const port = api(manifests).ports?.find(({ name }) => name === 'metrics')?.containerPort;
      const rules = all(manifests, 'NetworkPolicy').flatMap(({ spec }) => spec?.ingress ?? []);
      return rules
        .filter(({ ports }) => ports?.some((each) => each.port === port || each.port === 'metrics'))
        .flatMap(({ from = [] }) => from)
        .filter(
          ({ namespaceSelector }) =>
            namespaceSelector?.matchLabels?.['kubernetes.io/metadata.name'] !== 'monitoring',
        )
        .map((peer) => JSON.stringify(peer));
    },
    break: (all) =>
      one(all, 'NetworkPolicy', 'api-from-gateway').spec!.ingress![0]!.ports!.push({ port: 9464 }),
  },
  {
    name: 'every Service leads to a port of a pod that there is, inside of the cluster',
    standsFor:
      'kube-score service-targets-pod and service-type, kube-linter dangling-service, invalid-target-ports and exposed-services',
    faults: (manifests) =>
      all(manifests, 'Service').flatMap(({ metadata, spec }) => {
        const pod = podsOf(manifests).find((each) => matches(each.pod.metadata?.labels, spec?.selector))?.pod;
        const names = pod?.spec?.containers.flatMap(({ ports = [] }) => ports.map(({ name }) => name));
        const isSound = spec?.ports?.every(({ targetPort }) => names?.includes(String(targetPort)));
        return isSound && (spec?.type ?? 'ClusterIP') === 'ClusterIP' ? [] : [metadata?.name ?? ''];
      }),
    break: (all) => (one(all, 'Service').spec!.ports![0]!.targetPort = 'web'),
  },
];

const operation: Property[] = [
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

export const properties: readonly Property[] = [...security, ...network, ...operation];
