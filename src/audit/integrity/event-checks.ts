import { createHash } from 'node:crypto';
import { canonicalBytes } from '../../database/canonical.js';
import { encodeEntry, type Entry, stateHash } from '../../database/entry.js';
import type { SubjectState } from '../../database/event.js';
import { Places } from './compare.js';
import { type Finding, finding } from './finding.js';
import type { Fold, TypeCheck } from './subject-check.js';

/** What is looked at of the row of an event's subject. */
export interface SubjectOfEvent {
  readonly version: number;
  readonly isErased: boolean;
}

/** An event as it is stored, with what it is held against. */
export interface ExaminedEvent {
  readonly seq: number;
  readonly id: string;
  readonly at: string;
  readonly actorType: Entry['actor']['type'];
  readonly actorId: string | null;
  readonly action: string;
  readonly subjectType: string;
  readonly subjectId: string | null;
  readonly version: number | null;
  readonly requestId: string;
  readonly entry: Buffer;
  readonly leafHash: Buffer;
  readonly salt: Buffer | null;
  readonly state: Buffer | null;
  /** The event of the version before. */
  readonly previous: { readonly isLater: boolean; readonly isAlike: boolean } | null;
  readonly previousState: Buffer | null;
  readonly row: SubjectOfEvent | undefined;
  /** The event's place in the log, and that of the event of the version before. */
  readonly leaf: { readonly index: number; readonly previous: number | null } | null;
  readonly sealedHash: Buffer | null;
  /** Whether it should have a leaf: its number is below the last that was sealed, and in no gap. */
  readonly isSealed: boolean;
}

type EventCheck = (event: ExaminedEvent, check: TypeCheck | undefined) => Finding[];

/** What every event is put to. A check that needs more than the event brings it by the query of `EventsSection`. */
const checks: readonly EventCheck[] = [
  checkEntry,
  checkLeafHash,
  checkLeaf,
  checkState,
  checkSubject,
  checkStep,
];

/** What is wrong with an event; `check` is that of its subject's type, undefined for a type without rows. */
export function checkEvent(event: ExaminedEvent, check: TypeCheck | undefined): Finding[] {
  const findings = checks.flatMap((each) => each(event, check));
  return [...new Map(findings.map((each) => [`${each.code} ${each.where}`, each])).values()];
}

const COLUMNS = {
  '/id': 'id',
  '/at': 'at',
  '/actor/type': 'actor_type',
  '/actor/id': 'actor_id',
  '/action': 'action',
  '/subject/type': 'subject_type',
  '/subject/id': 'subject_id',
  '/subject/version': 'subject_version',
  '/requestId': 'request_id',
} as const;
const ENTRY_PLACES = new Places({ shown: Object.keys(COLUMNS), hidden: [] });

/** The entry is what the columns say, in canonical JSON, and nothing else. */
function checkEntry(event: ExaminedEvent): Finding[] {
  const entry = parse(event.entry) as Partial<Entry> | undefined;
  if (entry === undefined) return [finding('entry-unreadable', 'audit_events.entry')];
  const said = {
    id: event.id,
    at: event.at,
    actor: { type: event.actorType, id: event.actorId },
    action: event.action,
    subject: { type: event.subjectType, id: event.subjectId, version: event.version },
    requestId: event.requestId,
  };
  const hash = event.version === null ? null : hashOf(entry);
  if (encodeEntry({ ...said, stateHash: hash }).equals(event.entry)) return [];
  const columns = ENTRY_PLACES.compare('column-differs', entry, said).flatMap((found) =>
    found.where in COLUMNS
      ? { ...found, where: `audit_events.${COLUMNS[found.where as keyof typeof COLUMNS]}` }
      : [],
  );
  return columns.length > 0 ? columns : [finding('entry-not-canonical', 'audit_events.entry')];
}

/** RFC 6962: the hash of a leaf, as the event has it and as it was sealed. */
function checkLeafHash({ entry, leafHash, sealedHash }: ExaminedEvent): Finding[] {
  const expected = createHash('sha256').update('\0').update(entry).digest('hex');
  const hashes = { 'audit_events.leaf_hash': leafHash, 'audit_leaves.hash': sealedHash };
  return Object.entries(hashes).flatMap(([where, hash]) => {
    const actual = hash?.toString('hex') ?? expected;
    return expected === actual ? [] : [finding('leaf-hash-differs', where, { expected, actual })];
  });
}

/** It has a leaf once it is sealed, behind that of the version before. */
function checkLeaf({ seq, leaf, isSealed, version, previous }: ExaminedEvent): Finding[] {
  if (leaf === null) {
    return isSealed ? [finding('leaf-missing', 'audit_leaves.event_seq', { expected: seq })] : [];
  }
  if (version === null || previous === null || (leaf.previous ?? leaf.index) < leaf.index) return [];
  return [finding('leaf-out-of-order', 'audit_leaves.leaf_index', { actual: leaf.index })];
}

/** The state is the one that the entry commits to, and of this subject, version and time. */
function checkState(event: ExaminedEvent): Finding[] {
  const { salt, state, version } = event;
  if (version === null) {
    return salt === null && state === null ? [] : [finding('state-unexpected', 'audit_events.state')];
  }
  if (event.row?.isErased === true && version < event.row.version) {
    if (salt === null && state === null) return [];
    return [finding('state-not-erased', state === null ? 'audit_events.salt' : 'audit_events.state')];
  }
  if (salt === null || state === null) {
    return [finding('state-missing', state === null ? 'audit_events.state' : 'audit_events.salt')];
  }
  const findings: Finding[] = [];
  const expected = hashOf(parse(event.entry));
  const actual = stateHash(salt, state);
  if (expected !== actual)
    findings.push(finding('state-hash-differs', 'audit_events.state', { expected, actual }));
  return [...findings, ...checkStamps(event, state)];
}

function checkStamps({ subjectId: id, version, at: updatedAt }: ExaminedEvent, state: Buffer): Finding[] {
  const content: Partial<SubjectState> | undefined = parse(state);
  if (content === undefined || !isCanonical(state, content)) {
    return [finding('state-unreadable', 'audit_events.state')];
  }
  return Object.entries({ id, version, updatedAt }).flatMap(([member, expected]) => {
    const actual = content[member as keyof SubjectState];
    return actual === expected ? [] : [finding('state-differs', `/${member}`, { expected, actual })];
  });
}

/** There is such a subject, it takes such an action, and its versions have no gap. */
function checkSubject(event: ExaminedEvent, check: TypeCheck | undefined): Finding[] {
  const { version, row, previous, subjectId, action } = event;
  const findings: Finding[] = [];
  const isChange = foldOf(check, action) !== undefined;
  if (isChange !== (version !== null))
    findings.push(finding('unknown-action', 'audit_events.action', { actual: action }));
  if (row === undefined) {
    return subjectId === null ? findings : [...findings, finding('row-missing', check?.table ?? '')];
  }
  if (version === null) return findings;
  if (row.version < version) {
    findings.push(finding('event-unexpected', '/version', { expected: row.version, actual: version }));
  }
  if (version > 1 && (previous === null || !previous.isAlike)) {
    findings.push(finding('event-missing', '/version', { expected: version - 1 }));
  }
  if (previous?.isLater === true) findings.push(finding('event-out-of-order', 'audit_events.seq'));
  return findings;
}

/** The state is what the action makes of the state before. */
function checkStep(event: ExaminedEvent, check: TypeCheck | undefined): Finding[] {
  const { version, action, state } = event;
  const fold = foldOf(check, action);
  if (check === undefined || fold === undefined || version === null || state === null) return [];
  if ('begin' in fold !== (version === 1)) {
    return [finding('illegal-transition', 'audit_events.action', { actual: action })];
  }
  // What cannot be read is told of its own event.
  const previous = event.previousState === null ? undefined : parse(event.previousState);
  if (version > 1 && previous === undefined) return [];
  try {
    return foldStep(check, fold, previous, JSON.parse(state.toString()) as SubjectState, version);
  } catch {
    // Whatever the states are, they are not those of such a subject.
    return [finding('state-unreadable', 'audit_events.state')];
  }
}

function foldStep(
  check: TypeCheck,
  fold: Fold<SubjectState>,
  previous: object | undefined,
  stored: SubjectState,
  version: number,
): Finding[] {
  const after = check.complete(stored);
  const before = previous && check.complete(previous as SubjectState);
  const { state, findings = [] } = 'begin' in fold ? fold.begin(after) : fold.advance(before ?? after, after);
  const { updatedAt } = after;
  const expected = { ...state, version, updatedAt, createdAt: before?.createdAt ?? updatedAt };
  return [...findings, ...check.places.compare('fold-differs', expected, after)];
}

function foldOf(check: TypeCheck | undefined, action: string): Fold<SubjectState> | undefined {
  return check !== undefined && Object.hasOwn(check.folds, action) ? check.folds[action] : undefined;
}

function hashOf(entry: Partial<Entry> | undefined): string | null {
  const hash: unknown = entry?.stateHash;
  return typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash) ? hash : '';
}

function isCanonical(bytes: Buffer, value: unknown): boolean {
  try {
    return canonicalBytes(value).equals(bytes);
  } catch {
    return false;
  }
}

/** The object that the bytes are the JSON of; undefined for anything else. */
function parse(bytes: Buffer): object | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
