import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Queryable } from '../../database/snapshot.js';
import { notFound, Problem } from '../../problems/problem.js';
import { formatBundle } from '../log/bundle.js';
import { formatVerifier } from '../log/note.js';
import { storedHashes, storedProof } from '../log/stored-tree.js';
import { type Bundle, isWithin, type Tile, TILE_WIDTH } from '../log/tiles.js';
import { nodesOfConsistency } from '../log/tree.js';
import { LogIdentity } from '../log-identity.js';
import { Contradiction } from '../obstacle.js';

/** A signed checkpoint and how many leaves it covers. */
export interface PublishedCheckpoint {
  readonly size: number;
  readonly note: string;
}

/** The log as far as the newest checkpoint covers it: there is nothing beyond it for anybody. */
@Injectable()
export class PublishedLog {
  constructor(
    private readonly dataSource: DataSource,
    private readonly identity: LogIdentity,
  ) {}

  /** The newest checkpoint; `not-found` before the first. */
  async checkpoint(): Promise<PublishedCheckpoint> {
    const checkpoint = await this.newest();
    if (checkpoint === undefined) throw notFound();
    return checkpoint;
  }

  /** The same, as a snapshot has it where one is given; undefined before the first. */
  async newest(database: Queryable = this.dataSource): Promise<PublishedCheckpoint | undefined> {
    const [checkpoint] = await database.query<PublishedCheckpoint[]>(
      `SELECT size, note FROM audit_checkpoints WHERE origin = $1 ORDER BY size DESC LIMIT 1`,
      [this.identity.origin],
    );
    return checkpoint;
  }

  /** The keys that vouch for checkpoints, one a line. */
  verifierKeys(): string {
    return this.identity.verifiers.map((verifier) => `${formatVerifier(verifier)}\n`).join('');
  }

  /** The hashes of a tile, as they were sealed; `not-found` beyond the newest checkpoint. */
  async tile(tile: Tile): Promise<Buffer> {
    await this.requirePublished(tile);
    const first = tile.index * TILE_WIDTH;
    const span = { level: tile.level, first, past: first + tile.width };
    return Buffer.concat((await storedHashes(this.dataSource.manager, [span])).flat());
  }

  /**
   * The entries of a bundle, as they are in the events now; `not-found` beyond the newest checkpoint. An event that is
   * gone leaves an empty entry, which no event is: the others keep their places, and the leaf gives it away.
   */
  async bundle(bundle: Bundle): Promise<Buffer> {
    await this.requirePublished({ level: 0, ...bundle });
    const first = bundle.index * TILE_WIDTH;
    const rows = await this.dataSource.query<{ entry: Buffer }[]>(
      `SELECT coalesce(entry, '') AS entry FROM audit_leaves LEFT JOIN audit_events ON seq = event_seq
        WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index`,
      [first, first + bundle.width],
    );
    if (rows.length !== bundle.width) throw new Contradiction(`The log lacks leaves from ${first} on`);
    return formatBundle(rows.map(({ entry }) => entry));
  }

  /**
   * What proves that the tree of `second` leaves continues that of `first`; `not-found` beyond the newest checkpoint,
   * `invalid-parameter` unless 1 <= first <= second.
   */
  async consistency(first: number, second: number): Promise<Buffer[]> {
    if (first > second) {
      const detail = 'first must not be greater than second';
      throw new Problem('invalid-parameter', detail, {
        errors: [{ parameter: 'first', code: 'order', detail }],
      });
    }
    if (second > (await this.checkpoint()).size) throw notFound();
    return storedProof(this.dataSource.manager, nodesOfConsistency(first, second));
  }

  private async requirePublished(tile: Tile): Promise<void> {
    if (!isWithin(tile, (await this.checkpoint()).size)) throw notFound();
  }
}
