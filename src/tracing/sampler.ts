import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';
import type { Config } from '../config/config.js';

const PARENT_BASED = 'parentbased_';

/** Which traces are recorded, as `OTEL_TRACES_SAMPLER` and its argument, a share from 0 to 1, say it. */
export function samplerOf(config: Pick<Config, 'OTEL_TRACES_SAMPLER' | 'OTEL_TRACES_SAMPLER_ARG'>): Sampler {
  const { OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: share } = config;
  const root = rootSampler(name.replace(PARENT_BASED, ''), share);
  return name.startsWith(PARENT_BASED) ? new ParentBasedSampler({ root }) : root;
}

function rootSampler(name: string, share: number): Sampler {
  if (name === 'always_off') return new AlwaysOffSampler();
  if (name === 'always_on') return new AlwaysOnSampler();
  return new TraceIdRatioBasedSampler(share);
}
