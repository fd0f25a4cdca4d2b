import diff from 'microdiff';
import { pointerToken } from '../problems/pointer.js';
import type { FieldChange } from './history.dto.js';

/** These change with every event, which tells them itself. */
const TOLD_BY_THE_EVENT = new Set(['/version', '/updatedAt']);

/** The members that differ between two states of a subject, as JSON pointers with the values before and after. */
export function changesBetween(before: object, after: object): FieldChange[] {
  return diff({ ...before }, { ...after })
    .map((difference) => ({
      pointer: difference.path.map((step) => `/${pointerToken(String(step))}`).join(''),
      from: difference.type === 'CREATE' ? null : (difference.oldValue as unknown),
      to: difference.type === 'REMOVE' ? null : (difference.value as unknown),
    }))
    .filter((change) => !TOLD_BY_THE_EVENT.has(change.pointer));
}
