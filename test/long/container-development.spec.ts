import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN, ContainerDeployment } from '../support/container-deployment.js';
import { decoded, makeDatabaseAnew } from '../support/deployment-roles.js';
import { startProbe } from '../support/kubelet.js';
import { all, apiOf, render } from '../support/manifests.js';
import { tokenOf, until } from '../support/process.js';

// `npm run test:container`: minutes, root, and Debian's podman, runc, catatonit, iptables and debootstrap.
const describeContainer = process.env.CONTAINER_TEST === undefined ? describe.skip : describe;

describeContainer('The image, as the manifests for development run it', () => {
  const manifests = process.env.CONTAINER_TEST === undefined ? [] : render('overlays/dev');
  let deployment: ContainerDeployment;

  beforeAll(async () => {
    deployment = await ContainerDeployment.create();
    await makeDatabaseAnew(deployment.superuserUrl, manifests);
  }, 900_000);
  afterAll(() => deployment.remove(), 60_000);

  it('migrates, is ready and lets in whom the guide names, with the roles and Secrets of the overlay', async () => {
    const secrets = Object.fromEntries(
      all(manifests, 'Secret').map(({ metadata, data = {} }) => [
        metadata!.name!,
        Object.fromEntries(Object.entries(data).map(([file, text]) => [file, decoded(text, deployment.at)])),
      ]),
    );
    expect(await deployment.migrate(manifests, secrets)).toMatchObject({ code: 0 });
    const reachable = await deployment.play(manifests, secrets);
    const { container } = apiOf(manifests);
    const url = reachable(container.ports![0]!.containerPort);
    const ready = startProbe(url, container.readinessProbe!);
    await until('it is ready', 30_000, () => ready.isUp);
    await ready.stop();
    const token = await tokenOf(url, { email: ADMIN.email, password: 'for development only' });
    expect(token).not.toBe('');
  }, 120_000);
});
