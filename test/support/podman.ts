import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The image that tests build. */
export const IMAGE = 'localhost/ordo:test';
/** A token for a registry that does not exist: what the build is told and must forget. */
export const BUILD_SECRET = 'a-token-that-no-layer-may-keep';
/** Where the image that is the default has it. */
export const NODE = '/nodejs/bin/node';
const RUNTIME_LIBRARIES = [
  'dl',
  'stdc++',
  'm',
  'gcc_s',
  'pthread',
  'c',
  'nss_dns',
  'nss_files',
  'resolv',
  'rt',
];

/** What a program has written, and its exit code. */
interface Outcome {
  readonly code: number | null;
  /** To standard output. */
  readonly output: string;
  /** To standard error. */
  readonly complaints: string;
}

/** Podman as this machine can run it: as root, with Debian's packages and no service manager. */
export class Podman {
  private constructor(
    private readonly folder: string,
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** Throws where a program is missing. */
  static async create(): Promise<Podman> {
    const missing = ['podman', 'debootstrap', 'iptables', 'catatonit'].filter(
      (program) => spawnSync(program, ['--version']).error !== undefined,
    );
    if (missing.length > 0) throw new Error(`Install ${missing.join(', ')}, and run this as root`);
    const folder = await mkdtemp(join(tmpdir(), 'ordo-podman-'));
    const settings = join(folder, 'containers.conf');
    await writeFile(settings, await settingsOfMachine());
    return new Podman(folder, { ...process.env, CONTAINERS_CONF: settings });
  }

  /** Runs it without holding up this process; does not throw. */
  async try(...args: string[]): Promise<Outcome> {
    return run('podman', args, this.environment);
  }

  /** Throws unless it ends with 0; returns what it wrote. */
  async run(...args: string[]): Promise<string> {
    const { code, output, complaints } = await this.try(...args);
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${code}\n${complaints.slice(-4_000)}`);
    return output.trim();
  }

  /** What `podman inspect` tells by a Go template. */
  async inspect(name: string, template: string): Promise<string> {
    return this.run('inspect', '--format', template, name);
  }

  /** Whether a text (ASCII) is anywhere in an image: in a file of any layer, or in what is said about them. */
  async holds(image: string, text: string): Promise<boolean> {
    const child = start('podman', ['save', '--quiet', image], this.environment);
    const over = once(child, 'close');
    child.stderr.resume();
    let [last, isFound] = ['', false];
    for await (const chunk of child.stdout) {
      const seen = last + (chunk as Buffer).toString('latin1');
      isFound ||= seen.includes(text);
      last = seen.slice(1 - text.length);
    }
    await over;
    if (child.exitCode !== 0) throw new Error(`podman save ${image}: ${child.exitCode}`);
    return isFound;
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }

  /**
   * Builds the image; `NODE_IMAGE` and `RUNTIME_IMAGE` of the environment name its bases. Without them they are made
   * here, of Debian's packages and the Node.js that runs this: once, they are kept.
   */
  async build(tag: string): Promise<{ runtimeImage: string }> {
    const nodeImage = process.env.NODE_IMAGE ?? `localhost/ordo-test/node:${process.versions.node}`;
    const runtimeImage = process.env.RUNTIME_IMAGE ?? `localhost/ordo-test/runtime:${process.versions.node}`;
    const isThere = async (image: string) => (await this.try('image', 'exists', image)).code === 0;
    const isGiven = process.env.NODE_IMAGE !== undefined && process.env.RUNTIME_IMAGE !== undefined;
    if (!isGiven && !((await isThere(nodeImage)) && (await isThere(runtimeImage)))) {
      await this.makeBases(nodeImage, runtimeImage);
    }
    const mine = join(homedir(), '.npmrc');
    const npmrc = join(this.folder, 'npmrc');
    const settings = existsSync(mine) ? await readFile(mine, 'utf8') : '';
    await writeFile(npmrc, `${settings}\n//registry.invalid/:_authToken=${BUILD_SECRET}\n`);
    await this.run(
      ...['build', '--format', 'docker', '--isolation', 'chroot', '--network', 'host', '--tag', tag],
      ...['--build-arg', `NODE_IMAGE=${nodeImage}`, '--build-arg', `RUNTIME_IMAGE=${runtimeImage}`],
      ...['--build-arg', 'VERSION=0.1.0', '--build-arg', 'REVISION=test'],
      ...['--secret', `id=npmrc,src=${npmrc}`],
      ROOT,
    );
    return { runtimeImage };
  }

  private async makeBases(nodeImage: string, runtimeImage: string): Promise<void> {
    const debian = join(this.folder, 'debian');
    await must('debootstrap', ['--variant=minbase', '--include=ca-certificates', 'bookworm', debian]);
    // npm looks for packages where this machine does, and trusts whom it trusts.
    const npm = dirname(dirname(process.env.npm_execpath ?? ''));
    await cp(process.execPath, join(debian, 'usr/local/bin/node'));
    await cp(npm, join(debian, 'usr/local/lib/npm'), { recursive: true });
    await writeFile(
      join(debian, 'usr/local/bin/npm'),
      '#!/bin/sh\nexec node /usr/local/lib/npm/bin/npm-cli.js "$@"\n',
      { mode: 0o755 },
    );
    await this.import(
      debian,
      nodeImage,
      [
        'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
        'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
      ],
      '/etc/ssl/certs/ca-certificates.crt',
    );

    // As little as the distroless image has: Node.js, the libraries that it needs, certificates, and a user.
    const runtime = join(this.folder, 'runtime');
    const libraries = 'lib/x86_64-linux-gnu';
    for (const folder of [
      'nodejs/bin',
      libraries,
      'lib64',
      'etc/ssl/certs',
      'home/nonroot',
      'proc',
      'sys',
      'dev',
      'run',
      'tmp',
    ]) {
      await mkdir(join(runtime, folder), { recursive: true });
    }
    await cp(process.execPath, join(runtime, 'nodejs/bin/node'));
    const copy = (from: string, to = from) =>
      must('cp', ['--dereference', join(debian, from), join(runtime, to)]);
    for (const name of RUNTIME_LIBRARIES) {
      const file =
        (
          await must('find', [
            join(debian, 'usr/lib'),
            join(debian, 'lib/x86_64-linux-gnu'),
            '-name',
            `lib${name}.so.?`,
          ])
        ).split('\n')[0] ?? '';
      await copy(file.slice(debian.length), libraries);
    }
    await copy('lib64/ld-linux-x86-64.so.2');
    await copy('etc/ssl/certs/ca-certificates.crt');
    await writeFile(
      join(runtime, 'etc/passwd'),
      'root:x:0:0::/root:/none\nnonroot:x:65532:65532::/home/nonroot:/none\n',
    );
    await writeFile(join(runtime, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
    await this.import(runtime, runtimeImage, []);
  }

  private async import(
    folder: string,
    image: string,
    changes: string[],
    certificates?: string,
  ): Promise<void> {
    if (certificates !== undefined) await cp(certificates, join(folder, certificates), { dereference: true });
    const archive = `${folder}.tar`;
    await must('tar', ['--directory', folder, '--exclude=./var/cache', '--create', '--file', archive, '.']);
    await this.run('import', ...changes.flatMap((change) => ['--change', change]), archive, image);
    await rm(archive);
  }
}

/** Containers may not raise what this process may not raise, and crun knows no hybrid cgroups. */
async function settingsOfMachine(): Promise<string> {
  const limits = await readFile('/proc/self/limits', 'utf8');
  const [, files = '1024'] = /^Max open files +\S+ +(\d+)/m.exec(limits) ?? [];
  const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers');
  return [
    '[containers]',
    `default_ulimits = ["nofile=${files}:${files}", "nproc=4096:4096"]`,
    '[engine]',
    'cgroup_manager = "cgroupfs"',
    'events_logger = "file"',
    ...(isUnified ? [] : ['runtime = "runc"']),
    '',
  ].join('\n');
}

async function must(program: string, args: string[]): Promise<string> {
  const { code, output, complaints } = await run(program, args, process.env);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${code}\n${complaints.slice(-2_000)}`);
  return output;
}

async function run(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  const child = start(program, args, env);
  let [output, complaints] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (complaints += data.toString()));
  await once(child, 'close');
  return { code: child.exitCode, output, complaints };
}

function start(program: string, args: string[], env: NodeJS.ProcessEnv) {
  return spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
}
