import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';

/** Records when keys are used, at most once a minute per key and process. */
@Injectable()
export class LastUses {
  private readonly recent = new LRUCache<string, true>({ max: 10_000, ttl: 60_000 });

  constructor(
    private readonly dataSource: DataSource,
    private readonly logger: PinoLogger,
  ) {
    this.logger.setContext(LastUses.name);
  }

  /** Notes that the key is used now. Nobody waits for it, and a failure is only logged. */
  note(keyId: string): void {
    if (this.recent.has(keyId)) return;
    this.recent.set(keyId, true);
    this.record(keyId).catch((error: unknown) => {
      this.logger.warn({ err: error }, 'The use of an API key was not recorded');
    });
  }

  private async record(keyId: string): Promise<void> {
    await this.dataSource.query(
      `INSERT INTO api_key_uses (key_id, last_used_at) VALUES ($1, now())
         ON CONFLICT ON CONSTRAINT api_key_uses_pkey DO UPDATE SET last_used_at = EXCLUDED.last_used_at
         WHERE api_key_uses.last_used_at < EXCLUDED.last_used_at`,
      [keyId],
    );
  }
}
