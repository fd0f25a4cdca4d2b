import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startEmbeddedDatabase } from '../../src/database/embedded/embedded-database.js';
import { apiOf, type Manifest, podsOf } from './manifests.js';
import { forPodman, mountSecrets, openDoorway, type Secrets } from './podman-deployment.js';
import { IMAGE, Podman } from './podman.js';
import { createFolder } from './process.js';

const NETWORK = 'ordo-test';
const POD = 'ordo-pod-0';
/** The container of the service, once it is played. */
export const CONTAINER = `${POD}-ordo`;
/** Of both roles in the database. */
export const DATABASE_PASSWORD = 'of-the-tests';
export const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };

/** The image with a network of its own, and a database that its containers reach there. One at a time. */
export class ContainerDeployment {
  readonly podman: Podman;
  readonly superuserUrl: string;
  /** Host, port and name of the database, for containers. */
  readonly at: string;
  private readonly folder: string;
  private readonly endings: (() => Promise<unknown>)[] = [];

  private constructor(given: Pick<ContainerDeployment, 'podman' | 'superuserUrl' | 'at'>, folder: string) {
    Object.assign(this, given);
    this.folder = folder;
  }

  /** Builds the image and starts a database, without a schema. */
  static async create(): Promise<ContainerDeployment> {
    const endings: (() => Promise<unknown>)[] = [];
    try {
      const podman = await Podman.create();
      endings.push(() => podman.remove());
      await podman.build(IMAGE);
      const { folder, remove } = await createFolder();
      endings.push(remove);
      const database = await startEmbeddedDatabase(join(folder, 'database'), { durable: false });
      const { ownerUrl, superuserUrl } = database;
      endings.push(() => database.stop());
      if ((await podman.try('network', 'exists', NETWORK)).code !== 0)
        await podman.run('network', 'create', NETWORK);
      endings.push(() => podman.try('network', 'rm', '--force', NETWORK));
      const template = '{{(index .Subnets 0).Gateway}}';
      const gateway = await podman.run('network', 'inspect', '--format', template, NETWORK);
      const doorway = await openDoorway(Number(new URL(ownerUrl).port), gateway);
      endings.push(async () => doorway.close());
      const at = `${gateway}:${(doorway.address() as AddressInfo).port}/ordo`;
      const made = new ContainerDeployment({ podman, superuserUrl, at }, folder);
      made.endings.push(...endings, () => podman.try('pod', 'rm', '--force', '--time', '0', POD));
      return made;
    } catch (error) {
      await endAll(endings);
      throw error;
    }
  }

  async remove(): Promise<void> {
    await endAll(this.endings);
  }

  /** Runs the container of the Job that migrates, and answers what became of it. */
  async migrate(manifests: readonly Manifest[], secrets: Secrets) {
    const { pod } = podsOf(manifests).find(({ name }) => name === 'Job ordo-migration')!;
    const [container] = pod.spec!.containers;
    const folders = await mountSecrets(pod, secrets, join(this.folder, 'migration'));
    return this.podman.try(
      ...['run', '--rm', '--no-healthcheck', '--network', NETWORK, '--read-only', '--cap-drop', 'ALL'],
      ...['--security-opt', 'no-new-privileges', '--memory', bytes(container!.resources!.limits!.memory)],
      ...container!.volumeMounts!.flatMap(({ name, mountPath }) => [
        '--volume',
        `${folders.get(name)!}:${mountPath}:ro`,
      ]),
      ...container!.env!.flatMap(({ name, value = '' }) => ['--env', `${name}=${value}`]),
      IMAGE,
      ...container!.args!,
    );
  }

  /** Plays the Deployment; answers where a port of its pod is reached. */
  async play(manifests: readonly Manifest[], secrets: Secrets): Promise<(port: number) => string> {
    const file = join(this.folder, 'deployment.yaml');
    const { template } = apiOf(manifests).deployment.spec!;
    const folders = await mountSecrets(template, secrets, join(this.folder, 'pod'));
    await writeFile(file, forPodman(manifests, IMAGE, folders));
    await this.podman.run('play', 'kube', '--network', NETWORK, file);
    const infra = await this.podman.run('pod', 'inspect', '--format', '{{.InfraContainerID}}', POD);
    const addressOf = `{{(index .NetworkSettings.Networks "${NETWORK}").IPAddress}}`;
    const address = await this.podman.inspect(infra, addressOf);
    return (port) => `http://${address}:${port}`;
  }
}

/** Everything that the pods of production mount, with the database at `at`. */
export function secretsOfTests(at: string): Secrets {
  return {
    'ordo-database': { DATABASE_URL: `postgresql://ordo_app:${DATABASE_PASSWORD}@${at}` },
    'ordo-migration': { MIGRATION_DATABASE_URL: `postgresql://ordo_owner:${DATABASE_PASSWORD}@${at}` },
    ordo: {
      ORDO_SECRET: 'a secret of the tests, 32 characters or more',
      JWT_KEYS: pem(),
      AUDIT_SIGNING_KEY: pem(),
      ADMIN_PASSWORD: ADMIN.password,
      // Empty is unset.
      AUDIT_CHECKPOINT_SINK: '',
    },
    'ordo-redis': { REDIS_URL: '' },
  };
}

/** In bytes, what a manifest says in Mi. */
export function bytes(quantity: string | number | undefined): string {
  return `${Number(String(quantity).replace(/Mi$/, '')) * 2 ** 20}`;
}

/** Tells the person at the terminal what was measured. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

function pem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function endAll(endings: (() => Promise<unknown>)[]): Promise<void> {
  for (const end of endings.reverse()) await end();
}
