import { setTimeout as delay } from 'node:timers/promises';
import type { IProbe } from 'kubernetes-models/v1';

/** What has become of a probe so far. */
export interface Probing {
  /** Whether it has passed last, or has not failed as often in a row as its threshold says. */
  readonly isUp: boolean;
  readonly asked: number;
  /** Failures in a row: now, and the most there were. */
  readonly failures: number;
  readonly mostFailures: number;
  /** What it was last told where it failed. */
  readonly complaint: string;
}

/**
 * Asks a probe of a manifest as a kubelet does: every `periodSeconds`, with `timeoutSeconds` to answer, until it is to
 * stop. `url` is where the container's port is reached.
 */
export function startProbe(url: string, probe: IProbe): Probing & { stop(): Promise<void> } {
  const { httpGet, periodSeconds = 10, timeoutSeconds = 1, failureThreshold = 3 } = probe;
  const state = { isUp: false, asked: 0, failures: 0, mostFailures: 0, complaint: '' };
  const over = new AbortController();
  const asking = (async () => {
    while (!over.signal.aborted) {
      const fault = await faultOf(`${url}${httpGet?.path ?? ''}`, timeoutSeconds * 1_000);
      state.asked++;
      state.failures = fault === undefined ? 0 : state.failures + 1;
      state.mostFailures = Math.max(state.mostFailures, state.failures);
      if (fault === undefined) state.isUp = true;
      else if (state.failures >= failureThreshold) state.isUp = false;
      state.complaint = fault ?? state.complaint;
      await delay(periodSeconds * 1_000, undefined, { signal: over.signal, ref: false }).catch(
        () => undefined,
      );
    }
  })();
  return Object.assign(state, {
    async stop() {
      over.abort();
      await asking;
    },
  });
}

async function faultOf(url: string, milliseconds: number): Promise<string | undefined> {
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(milliseconds) });
    return status >= 200 && status < 400 ? undefined : `${status}`;
  } catch (error) {
    return String(error);
  }
}
