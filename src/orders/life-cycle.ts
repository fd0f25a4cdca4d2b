import { Problem } from '../problems/problem.js';
import { type FulfillmentStatus, type OrderStatus, orderStatuses } from './status.js';

/** Who gives a command: a customer to an own order, the staff (also an API key) to any. */
export type OrderCommander = 'customer' | 'staff';

/** What the rules look at; amounts in minor units. */
export interface OrderFacts {
  readonly status: OrderStatus;
  /** Where an order on hold was before. */
  readonly heldFrom: OrderStatus | null;
  readonly fulfillmentStatus: FulfillmentStatus;
  readonly total: number;
  readonly paid: number;
  readonly refunded: number;
}

/** What a command needs beside the status. */
const requirements = {
  'nothing-fulfilled': (order: OrderFacts) => order.fulfillmentStatus === 'unfulfilled',
  'everything-fulfilled': (order: OrderFacts) => order.fulfillmentStatus === 'fulfilled',
  'fully-paid': (order: OrderFacts) => order.paid >= order.total,
  'no-more-than-total-kept': (order: OrderFacts) => order.paid - order.refunded <= order.total,
};
type Requirement = keyof typeof requirements;

/** One row of the table: from where, by whom, to where, and what it needs. */
export interface Transition {
  readonly from: Readonly<Partial<Record<OrderCommander, readonly OrderStatus[]>>>;
  /** `held-from` is where the order was before it was held. */
  readonly to: OrderStatus | 'held-from';
  readonly requires: readonly Requirement[];
  readonly summary: string;
}

/** The life of an order. Guards, `availableActions`, the contract, the diagram and the exhaustive test follow from it. */
export const transitions = {
  confirm: { from: { staff: ['placed'] }, to: 'confirmed', requires: [], summary: 'Confirm an order' },
  hold: {
    from: { staff: ['placed', 'confirmed'] },
    to: 'on_hold',
    requires: [],
    summary: 'Put an order on hold',
  },
  release: {
    from: { staff: ['on_hold'] },
    to: 'held-from',
    requires: [],
    summary: 'Release an order from hold, back to where it was',
  },
  cancel: {
    from: { customer: ['placed'], staff: ['placed', 'confirmed', 'on_hold'] },
    to: 'cancelled',
    requires: ['nothing-fulfilled'],
    summary: 'Cancel an order',
  },
  complete: {
    from: { staff: ['confirmed'] },
    to: 'completed',
    requires: ['everything-fulfilled', 'fully-paid', 'no-more-than-total-kept'],
    summary: 'Complete an order',
  },
} as const satisfies Record<string, Transition>;

export type OrderCommand = keyof typeof transitions;
const commands = Object.keys(transitions) as OrderCommand[];

/** The commands that the order takes now from this commander; none from nobody. */
export function availableActions(order: OrderFacts, by: OrderCommander | undefined): OrderCommand[] {
  return commands.filter(
    (command) => startsFrom(command, order.status, by) && missingFor(command, order).length === 0,
  );
}

/** The status after the command; throws `illegal-transition`, which names what is missing, when it is not taken now. */
export function statusAfter(
  order: OrderFacts,
  command: OrderCommand,
  by: OrderCommander | undefined,
): OrderStatus {
  const missing = startsFrom(command, order.status, by) ? missingFor(command, order) : [];
  if (missing.length > 0 || !startsFrom(command, order.status, by)) {
    const reason =
      missing.length > 0
        ? `${command} needs: ${missing.join(', ')}.`
        : `An order that is ${order.status} does not take the command ${command}${by === 'customer' ? ' from a customer' : ''}.`;
    throw new Problem('illegal-transition', reason, {
      members: {
        from: order.status,
        allowed: availableActions(order, by),
        ...(missing.length > 0 && { missing }),
      },
    });
  }
  const { to } = transitions[command];
  if (to !== 'held-from') return to;
  if (order.heldFrom === null) throw new Error('An order on hold was nowhere before');
  return order.heldFrom;
}

/** The command in words, for the contract. */
export function describeCommand(command: OrderCommand): string {
  const { from, to, requires }: Transition = transitions[command];
  const target = to === 'held-from' ? 'where it was' : `\`${to}\``;
  const names = (statuses: readonly string[] = []) => statuses.map((status) => `\`${status}\``).join(', ');
  const customers =
    from.customer === undefined
      ? ''
      : ` A customer may do it to an own order that is ${names(from.customer)}.`;
  const needs = requires.length === 0 ? '' : ` It needs: ${requires.join(', ')}.`;
  return `From ${names(from.staff)} to ${target}.${customers}${needs}`;
}

/** The life cycle as a Mermaid diagram. */
export function drawLifeCycle(): string {
  const arrows = commands.flatMap((command) => {
    const { from, to }: Transition = transitions[command];
    return (from.staff ?? []).flatMap((status) => {
      const targets = to === 'held-from' ? heldFrom() : [to];
      return targets.map((target) => `  ${status} --> ${target}: ${command}`);
    });
  });
  const ends = orderStatuses.filter((status) => !arrows.some((arrow) => arrow.startsWith(`  ${status} `)));
  return ['stateDiagram-v2', '  [*] --> placed', ...arrows, ...ends.map((end) => `  ${end} --> [*]`)].join(
    '\n',
  );
}

/** Throws when the table names a status that there is not, or leaves one that no order can reach. */
export function checkLifeCycle(
  table: Readonly<Record<string, Transition>> = transitions,
  statuses: readonly string[] = orderStatuses,
): void {
  const reached = new Set<string>(['placed']);
  for (const { from, to } of Object.values(table)) {
    const named = [...Object.values(from).flat(), ...(to === 'held-from' ? [] : [to])];
    const unknown = named.find((status) => !statuses.includes(status));
    if (unknown !== undefined)
      throw new Error(`The life cycle of orders names the unknown status ${unknown}`);
  }
  for (let before = 0; before < reached.size;) {
    before = reached.size;
    for (const { from, to } of Object.values(table)) {
      if (
        to !== 'held-from' &&
        Object.values(from)
          .flat()
          .some((status) => reached.has(status))
      )
        reached.add(to);
    }
  }
  const lost = statuses.filter((status) => !reached.has(status));
  if (lost.length > 0) throw new Error(`No order can reach the status ${lost.join(', ')}`);
}

function heldFrom(): readonly OrderStatus[] {
  return transitions.hold.from.staff;
}

function startsFrom(command: OrderCommand, status: OrderStatus, by: OrderCommander | undefined): boolean {
  const { from }: Transition = transitions[command];
  return by !== undefined && (from[by] ?? []).includes(status);
}

function missingFor(command: OrderCommand, order: OrderFacts): Requirement[] {
  const { requires }: Transition = transitions[command];
  return requires.filter((requirement) => !requirements[requirement](order));
}
