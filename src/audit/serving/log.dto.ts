import { ApiProperty } from '@nestjs/swagger';
import { IsIntegerParameter } from '../../http/validators.js';

/** What a proof can be answered as. */
export const PROOF_MEDIA = ['application/json', 'text/plain'] as const;

const HASH = { type: String, format: 'byte', example: 'Y5ah3EcPxvGn5WdFjrHtgGQRqhu+SuB9ScTXrmrVmoQ=' };

export class ConsistencyQuery {
  /** Leaves of the smaller tree. */
  @ApiProperty({ type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER, example: 1 })
  @IsIntegerParameter(1, Number.MAX_SAFE_INTEGER)
  first: number;

  /** Leaves of the larger tree, which a checkpoint covers. */
  @ApiProperty({ type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER, example: 1 })
  @IsIntegerParameter(1, Number.MAX_SAFE_INTEGER)
  second: number;
}

export class ConsistencyResponse {
  @ApiProperty({ type: 'integer', minimum: 1 })
  first: number;

  @ApiProperty({ type: 'integer', minimum: 1 })
  second: number;

  /** As RFC 9162, section 2.1.4, orders them; each 32 bytes in standard base64. */
  @ApiProperty({ ...HASH, isArray: true })
  hashes: string[];
}

/** That an event is in the log. Bytes are in standard base64. */
export class ProofResponse {
  /** Number of the event's leaf, counted from 0. */
  @ApiProperty({ type: 'integer', minimum: 0 })
  leafIndex: number;

  /** Leaves that the checkpoint covers. */
  @ApiProperty({ type: 'integer', minimum: 1 })
  treeSize: number;

  /** What was sealed; SHA-256(0x00 || entry) must be the same. */
  @ApiProperty(HASH)
  leafHash: string;

  /** From the leaf's sibling up, as RFC 9162, section 2.1.3, orders them. */
  @ApiProperty({ ...HASH, isArray: true })
  hashes: string[];

  /** The signed checkpoint (c2sp.org/tlog-checkpoint), text as it is. */
  @ApiProperty()
  checkpoint: string;

  /** The event's entry: the bytes that its leaf is the hash of. */
  @ApiProperty({ type: String, format: 'byte' })
  entry: string;

  /** Null where there is no state, where it was erased, and for whoever may not read it. */
  @ApiProperty({ type: String, format: 'byte', nullable: true })
  salt: string | null;

  /** The subject's state after the event: SHA-256(salt || state), in hex, is the entry's `stateHash`. Null as `salt` is. */
  @ApiProperty({ type: String, format: 'byte', nullable: true })
  state: string | null;
}
