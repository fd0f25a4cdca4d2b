import type { ActionOf } from '../database/event.js';
import { inWords } from './money.js';
import type { OrderState } from './order.events.js';
import type { Units } from './postings.js';

/** What happened, in words that a support agent reads, from the state that it left. */
const summaries: { readonly [A in ActionOf<'order'>]: (order: OrderState) => string } = {
  'order.placed': (order) =>
    `Order placed: ${count(order.lines.length, 'line')}, ${money(order, order.total)} in total`,
  'order.updated': () => 'Note or metadata changed',
  'order.confirmed': () => 'Order confirmed',
  'order.held': ({ hold }) => `Put on hold: ${hold?.reason ?? ''}`,
  'order.released': ({ status }) => `Released from hold, ${status} again`,
  'order.completed': () => 'Order completed',
  'order.cancelled': cancelled,
  'order.paid': paid,
  'order.refunded': refunded,
  'order.fulfilled': fulfilled,
};

/** An order's event in words. */
export function summarizeOrderEvent(action: ActionOf<'order'>, order: OrderState): string {
  return summaries[action](order);
}

/** Events of the first weeks tell of no refunds. */
function cancelled(order: Omit<OrderState, 'refunds'> & Partial<Pick<OrderState, 'refunds'>>): string {
  const refund = order.refunds?.find(({ version }) => version === order.version);
  return refund === undefined
    ? 'Order cancelled'
    : `Order cancelled, ${money(order, refund.amount)} refunded`;
}

function paid(order: OrderState): string {
  const { amount = 0, provider = '' } = order.payments.at(-1) ?? {};
  const open = Math.max(0, order.total - order.paid);
  return `Paid ${money(order, amount)} through ${provider}, ${money(order, open)} open`;
}

function refunded(order: OrderState): string {
  const { amount = 0, lines = [], reason = '' } = order.refunds.at(-1) ?? {};
  return `Refunded ${money(order, amount)}${inUnits(lines)}: ${reason}`;
}

function fulfilled(order: OrderState): string {
  const { lines = [], carrier = null, trackingNumber = null } = order.fulfillments.at(-1) ?? {};
  const by = [carrier, trackingNumber].filter((text) => text !== null).join(' ');
  return `Sent out${inUnits(lines)}${by === '' ? '' : ` by ${by}`}`;
}

function money({ currency }: Pick<OrderState, 'currency'>, amount: number): string {
  return inWords(amount, currency);
}

function inUnits(lines: readonly Units[]): string {
  const units = lines.map(({ position, quantity }) => `${quantity} of line ${position}`);
  return units.length === 0 ? '' : ` (${units.join(', ')})`;
}

function count(number: number, thing: string): string {
  return number === 1 ? `1 ${thing}` : `${number} ${thing}s`;
}
