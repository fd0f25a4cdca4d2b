import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { Problem } from '../problems/problem.js';

/** One strong entity tag as Ordo makes them; weak ones and foreign ones are well-formed, but never match. */
const ENTITY_TAG = /^(W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/** What `If-Match` demands of the version that a change is based on. RFC 9110, section 13.1.1. */
export class Precondition {
  private constructor(
    /** Accepted tags, undefined when every version is. */
    private readonly tags: readonly string[] | undefined,
    private readonly isMissing: boolean,
  ) {}

  /** Takes the header's text; throws `malformed-request` when it is not `*` or a list of entity tags. */
  static parse(header: string | undefined, missing: 'allowed' | 'refused'): Precondition {
    if (header === undefined) return new Precondition(undefined, missing === 'refused');
    if (header.trim() === '*') return new Precondition(undefined, false);
    const tags = header.split(',').map((tag) => tag.trim());
    if (!tags.every((tag) => ENTITY_TAG.test(tag))) {
      throw new Problem(
        'malformed-request',
        'If-Match must be * or entity tags in double quotes, such as "3".',
      );
    }
    return new Precondition(tags, false);
  }

  /** Throws `precondition-required` or `version-mismatch` unless `version` is acceptable. */
  require(version: number): void {
    if (this.isMissing) {
      throw new Problem(
        'precondition-required',
        'Send the version that the change is based on: If-Match: "<version>".',
      );
    }
    const isMet =
      this.tags?.some((tag) => tag === entityTag(version) || tag.startsWith(`"${version}.`)) ?? true;
    if (!isMet) {
      throw new Problem('version-mismatch', `The current version is ${version}.`, {
        members: { currentVersion: version },
        headers: { ETag: entityTag(version) },
      });
    }
  }
}

/**
 * The ETag of a version; with the variant where the answer depends on who asks, for a cache keeps one answer per path
 * and must not take another caller's for current.
 */
export function entityTag(version: number, variant?: string): string {
  return variant === undefined ? `"${version}"` : `"${version}.${variant}"`;
}

/** Whether `If-None-Match` names the tag; the comparison is weak. RFC 9110, section 13.1.2. */
export function namesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.trim() === '*' || header.split(',').some((each) => each.trim().replace(/^W\//, '') === tag);
}

/** The precondition of a PATCH, which must have one, or of a command, which may. */
export const IfMatch = createParamDecorator((missing: 'allowed' | 'refused', context: ExecutionContext) =>
  Precondition.parse(context.switchToHttp().getRequest<Request>().get('if-match'), missing),
);
