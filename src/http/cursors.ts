import { type KeyObject, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { ServiceConfig } from '../config/config.js';
import { canonicalText } from '../database/canonical.js';
import { Problem } from '../problems/problem.js';
import { authenticate, deriveKey } from './keys.js';
import type { PageQuery } from './page.dto.js';

const MAC_LENGTH = 16;

/** One page of a list, as clients see it. */
export interface Page<T> {
  readonly data: readonly T[];
  readonly nextCursor: string | null;
}

/** Opaque cursors: a position in a list, authenticated together with the list's name and filters. */
@Injectable()
export class Cursors {
  private readonly key: KeyObject;

  constructor(config: ConfigService<ServiceConfig, true>) {
    this.key = deriveKey(config.get('ORDO_SECRET', { infer: true }), 'cursor');
  }

  /** The position (ASCII) that the query's cursor holds, undefined without one; throws `invalid-cursor`. */
  read(list: string, query: PageQuery): string | undefined {
    if (query.cursor === undefined) return undefined;
    const bytes = Buffer.from(query.cursor, 'base64url');
    const position = bytes.subarray(MAC_LENGTH).toString('latin1');
    const authentic =
      bytes.length > MAC_LENGTH &&
      bytes.toString('base64url') === query.cursor &&
      timingSafeEqual(bytes.subarray(0, MAC_LENGTH), this.mac(list, query, position));
    if (!authentic) {
      throw new Problem('invalid-cursor', 'The cursor does not belong to this list with these filters.', {
        errors: [{ parameter: 'cursor', code: 'invalid-cursor', detail: 'not a cursor of this list' }],
      });
    }
    return position;
  }

  /** The page with the cursor of the next one, which starts after `next`. */
  page<T>(list: string, query: PageQuery, data: readonly T[], next: string | undefined): Page<T> {
    if (next === undefined) return { data, nextCursor: null };
    const bytes = Buffer.concat([this.mac(list, query, next), Buffer.from(next, 'latin1')]);
    return { data, nextCursor: bytes.toString('base64url') };
  }

  private mac(list: string, query: PageQuery, position: string): Buffer {
    const { limit, cursor, ...filters } = query;
    const parts = [list, canonicalText(filters), position];
    return authenticate(this.key, parts).subarray(0, MAC_LENGTH);
  }
}
