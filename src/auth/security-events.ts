import { Injectable } from '@nestjs/common';
import type { Request } from 'express';
import type { Occurrence, Origin } from '../database/event.js';
import { WritePath } from '../database/write-path.js';
import { EventAllowance } from '../limits/event-allowance.js';

declare module '../database/event.js' {
  interface Occurrences {
    'user.signed-in': string;
    /** Of an unknown account, or of a user. */
    'user.sign-in-failed': string | null;
    'user.sign-in-throttled': string | null;
    'user.signed-out': string;
    'user.signed-out-everywhere': string;
    'user.refresh-reused': string;
    'user.password-changed': string;
    'user.password-reset': string;
    'user.reset-token-issued': string;
    /** A known caller was refused with 403. */
    'access.denied': null;
  }
}

/** Puts refusals on the record: as many as the allowance of whoever causes them, so that a flood cannot fill the disk. */
@Injectable()
export class SecurityEvents {
  constructor(
    private readonly writePath: WritePath,
    private readonly allowance: EventAllowance,
  ) {}

  /** `cause` is a caller's id or an address; it is counted, not recorded. */
  async record(cause: string, origin: Origin, occurrence: Occurrence): Promise<void> {
    if (!this.allowance.take(cause)) return;
    await this.writePath.record(origin, () => Promise.resolve({ occurrence, result: undefined }));
  }

  /** A known caller was refused with 403; which route it was, the log tells under the request's id. */
  async recordDenial({ actor, id: requestId }: Request): Promise<void> {
    await this.record(
      actor.id ?? actor.type,
      { actor, requestId },
      { action: 'access.denied', subjectId: null },
    );
  }
}
