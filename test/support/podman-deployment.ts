import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { IPodTemplateSpec } from 'kubernetes-models/v1';
import { stringify } from 'yaml';
import { all, apiOf, type Manifest } from './manifests.js';

/** What Secrets hold: text by file, by the name of the Secret. */
export type Secrets = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * Puts the Secrets that a pod mounts below `folder`, as a kubelet does: those files that the volume names and no other,
 * of root and the group of the pod, with the mode that the volume says. Answers the folder of each volume.
 */
export async function mountSecrets(
  { spec }: IPodTemplateSpec,
  secrets: Secrets,
  folder: string,
): Promise<ReadonlyMap<string, string>> {
  const folders = new Map<string, string>();
  const group = spec?.securityContext?.fsGroup ?? 0;
  for (const { name, secret } of spec?.volumes ?? []) {
    if (secret === undefined) throw new Error(`The volume ${name} is no Secret`);
    const { secretName = '', items, defaultMode = 0o644 } = secret;
    const path = join(folder, name);
    await mkdir(path, { recursive: true });
    for (const [file, text] of filesOf(secrets[secretName] ?? {}, items)) {
      await writeFile(join(path, file), text);
      await chown(join(path, file), 0, group);
      await chmod(join(path, file), defaultMode);
    }
    folders.set(name, path);
  }
  return folders;
}

/** The files of a volume with what they hold: all of the Secret, or those that are named. */
function filesOf(
  secret: Readonly<Record<string, string>>,
  items: readonly { readonly key: string; readonly path: string }[] | undefined,
): [string, string][] {
  if (items === undefined) return Object.entries(secret);
  return items.map(({ key, path }) => {
    const text = secret[key];
    if (text === undefined) throw new Error(`The Secret has no ${key}`);
    return [path, text];
  });
}

/**
 * The Deployment with its ConfigMap as YAML, for Podman 4: it plays one replica, would ask the probes with curl (which
 * the image has not), knows no preStop, does not decode Secrets (`folders` has those of each volume), and wants to be told
 * of seccomp by an annotation. Without a profile Kubernetes confines nothing.
 */
export function forPodman(
  manifests: readonly Manifest[],
  image: string,
  folders: ReadonlyMap<string, string>,
): string {
  const mine = structuredClone([...manifests]);
  const { deployment, pod, container } = apiOf(mine);
  Object.assign(deployment.spec!, { replicas: 1 });
  Object.assign(container, {
    image,
    livenessProbe: undefined,
    readinessProbe: undefined,
    startupProbe: undefined,
    lifecycle: undefined,
  });
  const configuration = all(mine, 'ConfigMap').find(({ data }) => data?.NODE_ENV !== undefined)!;
  Object.assign(configuration.data!, { RATE_LIMIT: '1000000' });
  const { type } = pod.securityContext?.seccompProfile ?? { type: 'Unconfined' };
  deployment.spec!.template.metadata = {
    ...deployment.spec!.template.metadata,
    annotations: {
      'seccomp.security.alpha.kubernetes.io/pod':
        type === 'RuntimeDefault' ? 'runtime/default' : 'unconfined',
    },
  };
  pod.volumes = pod.volumes!.map(({ name }) => ({
    name,
    hostPath: { path: folders.get(name)!, type: 'Directory' },
  }));
  return [configuration, deployment]
    .map((each) => `---\n${stringify(each, { aliasDuplicateObjects: false })}`)
    .join('');
}

/** The database listens on loopback; containers reach it here, and nobody else does. */
export async function openDoorway(port: number, gateway: string): Promise<Server> {
  const network = gateway.slice(0, gateway.lastIndexOf('.') + 1);
  const server = createServer((socket) => {
    if (!socket.remoteAddress?.startsWith(network)) {
      socket.destroy();
      return;
    }
    const inner = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      one
        .on('error', () => other.destroy())
        .on('close', () => other.destroy())
        .pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  return server;
}
