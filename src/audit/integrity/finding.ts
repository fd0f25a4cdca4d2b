/** What the check can find, by the code that it is reported under. */
export const findingCodes = {
  'row-missing': 'An event, or a row that belongs to a subject, whose subject has no row.',
  'event-missing': 'A version without its event.',
  'event-unexpected': 'An event of a version that the row has not reached.',
  'event-out-of-order':
    'An event that is older, or stands earlier in the trail, than that of the version before.',
  'row-differs': 'The row is not what the state of its newest event says.',
  'row-unreadable': 'The row holds what no row can hold.',
  'row-stray': 'A row that does not go with the row that it belongs to.',
  'column-differs': 'A column of the event is not what its entry says.',
  'entry-unreadable': 'The entry is not JSON.',
  'entry-not-canonical': 'The entry is not the canonical JSON (RFC 8785) of exactly the members of an entry.',
  'leaf-hash-differs': 'The leaf hash, at the event or in the log, is not that of the entry.',
  'leaf-missing': 'A sealed event without a leaf, or a number that no leaf has.',
  'leaf-unexpected': 'A leaf without its event, or of an event that is not sealed.',
  'leaf-out-of-order': 'A leaf that stands before that of the version before.',
  'subtree-missing': 'No root is stored for a full tile.',
  'subtree-differs': 'The root of a full tile is not that of its hashes.',
  'subtree-unexpected': 'A root of a tile that is not full.',
  'checkpoint-differs': 'A published checkpoint is not the head of the log at its size.',
  'state-hash-differs': 'The state is not the one that the entry commits to.',
  'state-missing': 'The state, its salt or both are gone although no erasure removes them.',
  'state-not-erased': 'A state, or its salt, of a version before its user was erased.',
  'state-unexpected': 'A state where the event has none.',
  'state-unreadable': 'The state is not canonical JSON, or not that of such a subject.',
  'state-differs': 'The state is not of this event: another subject, version or time.',
  'fold-differs': 'The state, or the row, is not what its parts or the event and the state before come to.',
  'posting-missing': 'An event of a payment, refund or fulfillment that is not in the state.',
  'line-missing': 'Units of a line that there is not, a fulfillment of nothing, or an order without lines.',
  'illegal-transition': 'The subject did not take this action then.',
  'limit-exceeded': 'More units or money than there are.',
  'unknown-action': 'No change has this action, or it has no version.',
} as const;

export type FindingCode = keyof typeof findingCodes;

/** Something that is not as it should be. `expected` and `actual` hold nothing personal; null is none or not shown. */
export interface Finding {
  /** A JSON pointer into the subject, or a column as `audit_events.at`. */
  readonly where: string;
  readonly code: FindingCode;
  readonly expected: string | null;
  readonly actual: string | null;
}

/** A finding in a table, with the values that may be shown. */
export function finding(
  code: FindingCode,
  where: string,
  { expected, actual }: { readonly expected?: unknown; readonly actual?: unknown } = {},
): Finding {
  return { where, code, expected: shownText(expected), actual: shownText(actual) };
}

/** Ids, instants, hashes, statuses, numbers; nothing that could be a name, an address or a text that somebody wrote. */
const PLAIN = /^[\w:.-]{1,64}$/;

function shownText(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  const text = typeof value === 'string' ? value : (JSON.stringify(value) as string | undefined);
  return text !== undefined && PLAIN.test(text) ? text : null;
}
