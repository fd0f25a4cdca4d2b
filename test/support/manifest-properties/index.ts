import { network } from './network.js';
import { operation } from './operation.js';
import type { Property } from './property.js';
import { security } from './security.js';

/** All that the overlays are held to, beside the types of Kubernetes. */
export const properties: readonly Property[] = [...security, ...network, ...operation];
