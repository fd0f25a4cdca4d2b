/** Ids before and after all others. */
export const FIRST_ID = '00000000-0000-0000-0000-000000000000';
export const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** How far the time of a row may be from that of its id, in milliseconds; what is further off is displaced. */
const EARLIER = 1_000;
const LATER = 10_000;

const LAST_TIME = 2 ** 48 - 1;

/**
 * SQL for a row whose time in `column` is not that of its UUIDv7: it waited long, a clock was wrong, or the time is
 * told by the client. Word for word the predicate of the indexes that hold such rows.
 */
export function displaced(column: string): string {
  return (
    `(${column} - uuid_extract_timestamp(id) BETWEEN interval '-${EARLIER / 1_000} s' ` +
    `AND interval '${LATER / 1_000} s') IS NOT TRUE`
  );
}

/**
 * From which id on, and before which one, all rows lie whose time is in [from, to) (RFC 3339, undefined for no bound)
 * and that are not displaced.
 */
export function idsOfTimes(from: string | undefined, to: string | undefined): [first: string, end: string] {
  return [
    from === undefined ? FIRST_ID : firstIdAt(Date.parse(from.toUpperCase()) - LATER),
    // The millisecond more is for what the database reads and Date does not: fractions of one.
    to === undefined ? LAST_ID : firstIdAt(Date.parse(to.toUpperCase()) + EARLIER + 1),
  ];
}

/** The lowest UUIDv7 of an instant, in milliseconds since 1970. */
function firstIdAt(milliseconds: number): string {
  const digits = Math.min(Math.max(milliseconds, 0), LAST_TIME).toString(16).padStart(12, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000`;
}
