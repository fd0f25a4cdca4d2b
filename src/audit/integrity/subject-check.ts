import { Injectable } from '@nestjs/common';
import type { ActionOf, StateOf, SubjectState, SubjectType } from '../../database/event.js';
import type { Transaction } from '../../database/transaction.js';
import type { Places } from './compare.js';
import type { Finding } from './finding.js';

/** A subject as its rows say, or as its events come to, and what is wrong with that. */
export interface Reading<State> {
  readonly state: State;
  readonly findings?: readonly Finding[];
}

/**
 * The state that an action should have left: at the beginning, or after the state before. What was asked for is taken
 * from `after`, the state that it did leave; `version`, `createdAt` and `updatedAt` need not be seen to.
 */
export type Fold<State> =
  { begin(after: State): Reading<State> } | { advance(before: State, after: State): Reading<State> };

/** How the subjects of a type are checked: their feature reads their rows and folds their events by its own rules. */
export interface TypeCheck<State extends SubjectState = SubjectState> {
  readonly type: string;
  /** The table of the rows, with the columns `id` and `version`. */
  readonly table: string;
  /** Tables of what belongs to a subject, and their column with its id, which leads an index. */
  readonly parts: Readonly<Record<string, string>>;
  readonly places: Places;
  /** SQL on a row: whether the events before its newest one have lost their states. */
  readonly isErased: string;
  readonly folds: Readonly<Record<string, Fold<State>>>;

  /** The rows of these ids, in the open snapshot. */
  read(tx: Transaction, ids: readonly string[]): Promise<readonly Reading<State>[]>;
  /** A state as an event holds it, with the members that states have by now. */
  complete(stored: State): State;
}

/** What a feature registers: a fold for every action of its type. */
export interface SubjectCheck<Type extends SubjectType> extends TypeCheck<StateOf<Type>> {
  readonly type: Type;
  readonly folds: { readonly [A in ActionOf<Type>]: Fold<StateOf<Type>> };
}

/** What the features have registered: audit itself knows none of them. */
@Injectable()
export class SubjectChecks {
  private readonly byType = new Map<string, TypeCheck>();

  register<Type extends SubjectType>(check: SubjectCheck<Type>): void {
    this.byType.set(check.type, check);
  }

  get(type: string): TypeCheck | undefined {
    return this.byType.get(type);
  }

  all(): TypeCheck[] {
    return [...this.byType.values()];
  }
}
