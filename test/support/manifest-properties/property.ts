import { apiOf, type Manifest } from '../manifests.js';

export type Manifests = readonly Manifest[];

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
export function unless<T extends { name: string }>(
  each: readonly T[],
  holds: (one: T) => boolean | undefined,
): string[] {
  return each.filter((one) => holds(one) !== true).map(({ name }) => name);
}

/** Whether every label that a selector names is there. */
export const matches = (labels: object | undefined, selector: object | undefined): boolean =>
  Object.entries(selector ?? {}).every(([key, value]) =>
    Object.entries(labels ?? {}).some(([k, v]) => k === key && v === value),
  );

/** The container of the service. */
export const api = (manifests: Manifests) => apiOf(manifests).container;
