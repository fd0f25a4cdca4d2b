import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { inSnapshot, type Transaction } from '../../database/transaction.js';
import { Problem } from '../../problems/problem.js';
import { LogIdentity } from '../log-identity.js';
import { CheckpointsSection } from './checkpoints-section.js';
import { EventsSection } from './events-section.js';
import { LeavesSection } from './leaves-section.js';
import { RowsSection } from './rows-section.js';
import type { Bounds, Difference, Section } from './section.js';
import { SubjectChecks } from './subject-check.js';
import { SubtreesSection } from './subtrees-section.js';

/** Some of the walk; `next` is where the rest starts, undefined at its end. */
export interface IntegrityPage {
  readonly checked: number;
  readonly differences: readonly Difference[];
  /** How much of the walk is done by now, roughly: 0 to 1. */
  readonly progress: number;
  readonly next: string | undefined;
}

/** Where a walk stands: in a section, after a key of it, once it has begun. */
interface Position {
  readonly section: Section;
  readonly begun?: { readonly after: string; readonly bounds: Bounds };
}

/**
 * Walks through all rows of subjects, all events and all of the log and tells what is not as it should be. Each page is
 * read from one snapshot, so that what is written meanwhile makes no difference; nobody waits for it.
 */
@Injectable()
export class Integrity {
  constructor(
    private readonly dataSource: DataSource,
    private readonly checks: SubjectChecks,
    private readonly identity: LogIdentity,
  ) {}

  /**
   * Checks the next `limit` rows or events after `position`, of one type of subject or of all; `invalid-parameter` for
   * a type that there is not.
   */
  async page(
    subjectType: string | undefined,
    limit: number,
    position: string | undefined,
  ): Promise<IntegrityPage> {
    const sections = this.sectionsOf(subjectType);
    const start = position === undefined ? undefined : parse(position, sections);
    return inSnapshot(this.dataSource, async (tx) => {
      for (const section of sections.slice(start ? sections.indexOf(start.section) : 0)) {
        const begun = start?.section === section ? start.begun : undefined;
        const bounds = begun?.bounds ?? (await section.bounds(tx));
        if (bounds === undefined) continue;
        const { next: after, ...checked } = await section.page(tx, begun?.after, bounds.last, limit);
        const isOver = after === undefined || after === bounds.last;
        const rest = isOver ? following(sections, section) : { section, begun: { after, bounds } };
        const progress = rest === undefined ? 1 : await progressAt(tx, sections, rest);
        return { ...checked, progress, next: rest && format(rest) };
      }
      return { checked: 0, differences: [], progress: 1, next: undefined };
    });
  }

  private sectionsOf(subjectType: string | undefined): Section[] {
    if (subjectType === undefined) {
      return [
        ...this.checks.all().map((check) => new RowsSection(check)),
        new EventsSection(this.checks, undefined),
        new LeavesSection(),
        new SubtreesSection(),
        new CheckpointsSection(this.identity.origin),
      ];
    }
    const check = this.checks.get(subjectType);
    if (check === undefined) {
      const known = this.checks.all().map(({ type }) => type);
      const detail = `subjectType must be one of ${known.join(', ')}`;
      throw new Problem('invalid-parameter', detail, {
        errors: [{ parameter: 'subjectType', code: 'unknown', detail }],
      });
    }
    return [new RowsSection(check), new EventsSection(this.checks, subjectType)];
  }
}

function following(sections: readonly Section[], section: Section): Position | undefined {
  const next = sections[sections.indexOf(section) + 1];
  return next && { section: next };
}

function format({ section, begun }: Position): string {
  return [section.name, ...(begun ? [begun.after, begun.bounds.first, begun.bounds.last] : [])].join('|');
}

function parse(position: string, sections: readonly Section[]): Position {
  const [name, after, first, last] = position.split('|');
  const section = sections.find((each) => each.name === name);
  if (section === undefined) {
    throw new Problem('invalid-cursor', 'The walk has other sections by now: begin anew.');
  }
  if (after === undefined || first === undefined || last === undefined) return { section };
  return { section, begun: { after, bounds: { first, last } } };
}

/** Sections count as the planner believes their tables to be large: nothing is counted for a bar. */
async function progressAt(
  tx: Transaction,
  sections: readonly Section[],
  { section, begun }: Position,
): Promise<number> {
  const sizes = await tx.query<{ name: string; size: number }[]>(
    `SELECT relname AS name, greatest(reltuples, 1)::float8 AS size FROM pg_class WHERE oid = ANY($1::regclass[])`,
    [sections.map(({ table }) => table)],
  );
  const weigh = (some: readonly Section[]) =>
    some.reduce((sum, { table }) => sum + (sizes.find(({ name }) => name === table)?.size ?? 1), 0);
  const before = weigh(sections.slice(0, sections.indexOf(section)));
  const within = begun === undefined ? 0 : shareOf(section, begun) * weigh([section]);
  return Math.min(1, Math.max(0, (before + within) / weigh(sections)));
}

function shareOf(section: Section, { after, bounds }: NonNullable<Position['begun']>): number {
  const [from, now, to] = [bounds.first, after, bounds.last].map((key) => section.measure(key));
  return from === undefined || now === undefined || to === undefined || from === to
    ? 0
    : (now - from) / (to - from);
}
