import { describe, expect, it } from '@jest/globals';
import { properties } from './support/manifest-properties/index.js';
import { apiOf, kustomize, type Manifest, models, render } from './support/manifests.js';
import { typeErrors } from './support/manifest-types.js';

const OVERLAYS = ['dev', 'production'] as const;

const describeManifests = kustomize === undefined ? describe.skip : describe;
const rendered = new Map(
  kustomize && OVERLAYS.map((overlay) => [overlay, render(`overlays/${overlay}`)] as const),
);
const manifestsOf = (overlay: (typeof OVERLAYS)[number]): Manifest[] =>
  structuredClone(rendered.get(overlay) ?? []);

describeManifests('Manifests', () => {
  it.each(OVERLAYS)(
    '%s: every type, required field and accepted value is as Kubernetes wants it',
    (overlay) => {
      for (const manifest of manifestsOf(overlay)) expect(validate(manifest)).toBeUndefined();
    },
  );

  it('a mistyped value would be missed', () => {
    const manifests = manifestsOf('production');
    Object.assign(apiOf(manifests).container.ports![0]!, { containerPort: 'http' });
    expect(manifests.map(validate)).toContainEqual(expect.stringContaining('Deployment ordo'));
  });

  it('has no field that Kubernetes does not know, and a mistyped one would be missed', () => {
    const broken = manifestsOf('production');
    Object.assign(apiOf(broken).container, { readinesProbe: {} });
    expect(typeErrors([...OVERLAYS.flatMap(manifestsOf), apiOf(broken).deployment])).toEqual([
      expect.stringContaining('"readinesProbe"'),
    ]);
  });
});

function validate({ apiVersion, kind, ...rest }: Manifest): string | undefined {
  const Model = models.find((each) => each.kind === kind && each.apiVersion === apiVersion);
  if (Model === undefined) return `${apiVersion} ${kind} is not known`;
  try {
    new Model(rest as never).validate();
    return undefined;
  } catch (error) {
    return `${kind} ${rest.metadata?.name ?? ''}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

describeManifests('Properties', () => {
  describe.each(OVERLAYS)('of the overlay %s', (overlay) => {
    const ofThis = properties.filter((each) => each.overlay === undefined || each.overlay === overlay);

    it.each(ofThis)('$name', (property) => {
      expect(property.faults(manifestsOf(overlay))).toEqual([]);
      const broken = manifestsOf(overlay);
      property.break(broken);
      expect(property.faults(broken)).not.toEqual([]);
    });
  });
});
