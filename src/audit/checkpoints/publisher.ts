import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../../config/config.js';
import { inSnapshot, inTransaction, type Transaction } from '../../database/transaction.js';
import { Metrics } from '../../metrics/metrics.js';
import { traced } from '../../tracing/tracing.js';
import { BackgroundWork } from '../background-work.js';
import { formatTreeHead, parseTreeHead, type TreeHead } from '../log/checkpoint.js';
import { NoteError, openNote, signNote } from '../log/note.js';
import { LogIdentity } from '../log-identity.js';
import { Contradiction, Obstacle } from '../obstacle.js';
import { continuedHead, type EarlierHead } from './continuity.js';
import { FileSink } from './file-sink.js';
import { HttpSink } from './http-sink.js';
import type { Sink } from './sink.js';

/** At most one checkpoint a second. */
const PAUSE_MS = 1_000;

const IN_DATABASE = 'the newest checkpoint';
const IN_SINK = 'the checkpoint in AUDIT_CHECKPOINT_SINK';

/**
 * Signs the head of the log when it has grown, has the sink keep it, and only then publishes it. Signs nothing that
 * contradicts what was signed before. Any process may do it: what they sign is the same.
 */
@Injectable()
export class Publisher extends BackgroundWork {
  private readonly sink: Sink | undefined;
  private hasCompared = false;
  private newest: { size: number; seconds: number } | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly identity: LogIdentity,
    config: ConfigService<ServiceConfig, true>,
    metrics: Metrics,
    logger: PinoLogger,
  ) {
    super(logger, 'Signing checkpoints', config.get('AUDIT_SEALER', { infer: true }) === 'on');
    const address = config.get('AUDIT_CHECKPOINT_SINK', { infer: true });
    if (address !== undefined) {
      this.sink = 'file' in address ? new FileSink(address.file) : new HttpSink(address.url);
    }
    metrics.watch(
      'audit_log_checkpoint_size',
      'Leaves in the newest checkpoint',
      () => this.newest?.size ?? NaN,
      'max',
    );
    metrics.watch(
      'audit_log_checkpoint_timestamp_seconds',
      'When the newest checkpoint was published, in Unix time',
      () => this.newest?.seconds ?? NaN,
      'max',
    );
    metrics.watch(
      'audit_log_refuses_to_sign',
      '1 while no checkpoint is signed because the log contradicts an earlier one',
      () => (this.isContradicted ? 1 : 0),
      'max',
    );
  }

  /** Publishes a checkpoint if there is one to publish. Throws Obstacle where it must not or cannot. */
  async turn(signal: AbortSignal): Promise<number> {
    if (this.hasCompared && !(await this.hasChanged())) return PAUSE_MS;
    await traced({ name: 'publish checkpoint' }, () => this.publishNext(signal));
    this.hasCompared = true;
    await this.hasChanged();
    return PAUSE_MS;
  }

  private async publishNext(signal: AbortSignal): Promise<void> {
    // The sink first: whatever it holds was signed for leaves that the database has committed by now.
    const kept = await this.sink?.read(signal);
    const inSink = kept && this.open(kept.note, IN_SINK);
    const head = await inSnapshot(this.dataSource, (tx) => this.nextHead(tx, inSink));
    const note = signNote(formatTreeHead(head), this.identity.signers);
    if (inSink === undefined || inSink.head.size < head.size) await this.sink?.replace(note, kept, signal);
    await this.publish(head, note);
  }

  private async nextHead(tx: Transaction, inSink: EarlierHead | undefined): Promise<TreeHead> {
    const [published] = await tx.query<{ note: string }[]>(
      `SELECT note FROM audit_checkpoints WHERE origin = $1 ORDER BY size DESC LIMIT 1`,
      [this.identity.origin],
    );
    const earlier = [published && this.open(published.note, IN_DATABASE), inSink];
    return continuedHead(
      tx,
      this.identity.origin,
      earlier.filter((each) => each !== undefined),
    );
  }

  /**
   * Reads a checkpoint of ours; throws Contradiction for another one, so that it is not replaced either, and Obstacle for
   * what is no checkpoint, such as the page of a proxy: that may be better the next time.
   */
  private open(note: string, from: string): EarlierHead {
    if (!note.includes('\n\n\u2014 ')) throw new Obstacle(`${from} is none`);
    try {
      const head = parseTreeHead(openNote(note, this.identity.verifiers));
      if (head.origin === this.identity.origin) return { head, from };
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
    }
    throw new Contradiction(
      `Neither AUDIT_ORIGIN nor AUDIT_SIGNING_KEY may change alone: ${from} is of another log`,
    );
  }

  private async publish({ origin, size, root }: TreeHead, note: string): Promise<void> {
    await inTransaction(this.dataSource, async (tx) => {
      await tx.query(`SET LOCAL ROLE ordo_sealer`);
      await tx.query(
        `INSERT INTO audit_checkpoints (origin, size, root, note) VALUES ($1, $2, $3, $4)
           ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO NOTHING`,
        [origin, size, root, note],
      );
      return { commit: true, result: undefined };
    });
  }

  /** Whether there are more leaves than were published, or fewer. */
  private async hasChanged(): Promise<boolean> {
    const [state] = await this.dataSource.query<[{ size: number; newest: number | null; seconds: number }]>(
      `SELECT log.size, newest.size AS newest, extract(epoch FROM created_at)::float AS seconds
         FROM (SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM audit_leaves) AS log
         LEFT JOIN (SELECT size, created_at FROM audit_checkpoints WHERE origin = $1 ORDER BY size DESC LIMIT 1)
           AS newest ON true`,
      [this.identity.origin],
    );
    this.newest = state.newest === null ? undefined : { size: state.newest, seconds: state.seconds };
    return state.size !== state.newest;
  }
}
