import { ApiProperty } from '@nestjs/swagger';
import { AuditEventResponse } from '../audit.dto.js';

/** A line of an export: what GET answers, and where the log has it. */
export class ExportedEvent extends AuditEventResponse {
  /** Number of the event's leaf, counted from 0; less than the size of the manifest's checkpoint. */
  @ApiProperty({ type: 'integer', minimum: 0 })
  leafIndex: number;
}

const LEAF = { type: 'integer', minimum: 0, nullable: true } as const;

class ExportManifest {
  /** Events in the lines before. */
  @ApiProperty({ type: 'integer', minimum: 0 })
  count: number;

  /** Events that fit, but that the checkpoint does not cover yet: they are not in the export. */
  @ApiProperty({ type: 'integer', minimum: 0 })
  notCovered: number;

  /** The lowest number of a leaf; null in an export without events. */
  @ApiProperty(LEAF)
  firstLeaf: number | null;

  /** The greatest number of a leaf; null in an export without events. */
  @ApiProperty(LEAF)
  lastLeaf: number | null;

  /** Hex SHA-256 of all bytes before the line of the manifest. */
  @ApiProperty({ pattern: '^[0-9a-f]{64}$' })
  sha256: string;

  /** The signed checkpoint (c2sp.org/tlog-checkpoint) whose tree has all of the events as leaves, text as it is. */
  @ApiProperty()
  checkpoint: string;
}

/** The last line of an export, which alone has this member. */
export class ExportEnd {
  @ApiProperty()
  manifest: ExportManifest;
}
