import type { Test } from 'supertest';
import { eventually } from './process.js';
import type { TestService } from './service.js';

/** An event as the audit trail lists it, as far as the tests of the log look at it. */
export interface AuditEvent {
  readonly id: string;
  readonly action: string;
  readonly subject: { readonly type: string; readonly id: string | null; readonly version: number | null };
  readonly leafHash: string;
}

/** The newest checkpoint over HTTP and how many leaves it says that it covers; it is not verified. */
export async function readCheckpoint({
  url,
}: Pick<TestService, 'url'>): Promise<{ note: string; size: number }> {
  const response = await fetch(`${url}/v1/audit/log/checkpoint`);
  const note = await response.text();
  const size = Number(note.split('\n')[1]);
  if (!response.ok || !Number.isInteger(size)) throw new Error(`No checkpoint: ${response.status}`);
  return { note, size };
}

/** Waits until a checkpoint covers that many leaves, and returns it. */
export async function sealedUpTo(
  service: Pick<TestService, 'url'>,
  leaves: number,
): Promise<{ note: string; size: number }> {
  return eventually(async () => {
    const checkpoint = await readCheckpoint(service);
    if (checkpoint.size < leaves) throw new Error(`The checkpoint covers ${checkpoint.size} of ${leaves}`);
    return checkpoint;
  });
}

/** Asks for a proof until there is one. */
export async function untilSealed(ask: () => Test): Promise<void> {
  await eventually(async () => {
    const { status } = await ask();
    if (status === 409) throw new Error('Not sealed yet');
  });
}
