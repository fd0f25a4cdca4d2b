import { all, one, podsOf } from '../manifests.js';
import { api, type Manifests, matches, type Property } from './property.js';

/** Pods that the overlay makes, and those that operators make of it. */
function labelsOfPods(manifests: Manifests): object[] {
  return [
    ...podsOf(manifests).map(({ pod }) => pod.metadata?.labels ?? {}),
    ...all(manifests, 'Cluster').map(({ spec }) => spec.inheritedMetadata?.labels ?? {}),
    ...all(manifests, 'Pooler').map(({ spec }) => spec.template?.metadata?.labels ?? {}),
  ];
}

/** Who reaches whom. */
export const network: Property[] = [
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
