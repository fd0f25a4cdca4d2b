import { all, apiOf, containersOf, one, podsOf } from '../manifests.js';
import { api, type Property, unless } from './property.js';

/** What a pod may not do, and who sees its secrets. */
export const security: Property[] = [
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
