/** Who caused an event. */
export interface Actor {
  readonly type: 'user' | 'api-key' | 'system' | 'anonymous';
  readonly id: string | null;
}

/** Where a change comes from: who asks, in which request (a UUID). */
export interface Origin {
  readonly actor: Actor;
  readonly requestId: string;
}

/** What the state of every subject holds; times are RFC 3339 in UTC with milliseconds. */
export interface SubjectState {
  readonly id: string;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/**
 * The state that each action leaves its subject in. A feature adds its actions by declaration merging, named
 * `<subject type>.<what happened>`; an event whose state does not fit its action then does not compile.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- filled by the features
export interface EventStates {}

export type Action = keyof EventStates & `${string}.${string}`;

/** What has versions and events: `user`, `order`. */
export type SubjectType = Action extends `${infer Type}.${string}` ? Type : never;

/** What can happen to subjects of a type, and the states that they go through. */
export type ActionOf<Type extends SubjectType> = Extract<Action, `${Type}.${string}`>;
export type StateOf<Type extends SubjectType> = EventStates[ActionOf<Type>];

/**
 * What happens without changing a subject, such as a failed sign-in, and the id of the subject that it is about, null
 * where there is none. Filled by the features like `EventStates`; such an event has no version and no state.
 *
 * @public
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- filled by the features
export interface Occurrences {}

/** One such happening. */
export type Occurrence = {
  [A in keyof Occurrences]: { readonly action: A; readonly subjectId: Occurrences[A] };
}[keyof Occurrences];

/** What a use case returns: what it did and the state that it left. Subject, version and time are the state's. */
export interface Change<A extends Action> {
  readonly action: A;
  readonly state: EventStates[A] & SubjectState;
}

/** The type of the subject that an action is about: `order` of `order.cancelled`. */
export function subjectTypeOf(action: string): string {
  return action.slice(0, action.indexOf('.'));
}

/** An event's time in milliseconds: now, but never before the subject's last change, whatever the clocks say. */
export function timeOfChange(lastChange?: Date): Date {
  return new Date(Math.max(Date.now(), lastChange?.getTime() ?? 0));
}
