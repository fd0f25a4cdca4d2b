import { notFound, Problem } from '../problems/problem.js';
import type { Action, Change, EventStates } from './event.js';
import type { FirstRequest, IdempotentRequest } from './idempotency.js';

/** What a use case says when the subject already is as wished: no version, no event. */
export interface Unchanged<A extends Action> {
  readonly unchanged: EventStates[A];
}

/** What a use case answers for an input; a `Problem` concerns its own input alone, of which it has written no row. */
export type Outcome<A extends Action> = Change<A> | Unchanged<A> | Problem;

/** The subject's state after the write; `replayed` when an earlier request with the same key had made it. */
export interface Written<A extends Action> {
  readonly state: EventStates[A];
  readonly replayed: boolean;
}

/** What came of one of several writes: most often a `Problem` where it failed, any error where it was unforeseen. */
export type Result<A extends Action> = Written<A> | Error;

/** The state that was written; throws what came instead. */
export function written<A extends Action>(result: Result<A> | undefined): Written<A> {
  if (result === undefined) throw new Error('A write without a result');
  if (failed(result)) throw result;
  return result;
}

/** What came of an outcome once it is committed. */
export function resultOf<A extends Action>(outcome: Outcome<A> | undefined): Result<A> {
  if (outcome === undefined) throw new Error('A use case owes one outcome for each input');
  if (outcome instanceof Problem) return outcome;
  return { state: 'action' in outcome ? outcome.state : outcome.unchanged, replayed: false };
}

/** The first answer again, for the same request; the database holds it as the state of the first request's event. */
export function replay<A extends Action>(request: IdempotentRequest, first: FirstRequest): Result<A> {
  if (!first.fingerprint.equals(request.fingerprint)) {
    return new Problem(
      'idempotency-key-reused',
      'This idempotency key belongs to an earlier, different request.',
    );
  }
  if (first.state === null) return notFound();
  return { state: JSON.parse(first.state.toString()) as EventStates[A], replayed: true };
}

export function failed(result: Result<Action>): result is Error {
  return Error.isError(result);
}

/** The results where one failure is everybody's: the others are told that they depend on it. */
export function allOrNothing<A extends Action>(results: readonly Result<A>[]): Result<A>[] {
  if (!results.some(failed)) return [...results];
  return results.map((result) => (failed(result) ? result : failedDependency()));
}

/** What the others are told when one of all or nothing fails. */
export function failedDependency(): Problem {
  return new Problem('failed-dependency', 'Another item of the batch failed, so that nothing was placed.');
}
