import { randomUUID } from 'node:crypto';

/** Of one millisecond 4,096 ids come in order; more borrow from the next. */
const MOST_IN_MILLISECOND = 4_096;

let time = 0;
let count = 0;

/**
 * A UUID of version 7 that comes after all others of this process: its time in milliseconds, a counter of 12 bits (RFC
 * 9562, section 6.2, method 1) and 62 random bits. Those are Node's own, which buys randomness in bulk: a request needs
 * three ids.
 */
export function newId(): string {
  const now = Date.now();
  if (now > time) [time, count] = [now, 0];
  else if (++count === MOST_IN_MILLISECOND) [time, count] = [time + 1, 0];
  const hex = time.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7${count.toString(16).padStart(3, '0')}-${randomUUID().slice(19)}`;
}
