import type { ActionOf } from '../database/event.js';
import { inWords } from './money.js';
import type { OrderState } from './order.events.js';
import type { Units } from './postings.js';

/** A state as an event holds it: those of the first weeks tell of no refunds. */
type Cancelled = Omit<OrderState, 'refunds'> & Partial<Pick<OrderState, 'refunds'>>;

/** As many articles as are named. */
const MOST_NAMED = 5;

/** What happened, in words that a support agent reads, from the state that it left and the one before. */
const summaries: {
  readonly [A in ActionOf<'order'>]: (order: OrderState, before: OrderState | undefined) => string;
} = {
  'order.placed': placed,
  'order.updated': updated,
  'order.confirmed': () => 'Order confirmed',
  'order.held': ({ hold }) => `Put on hold: ${hold?.reason ?? ''}`,
  'order.released': ({ status }) => `Released from hold, ${status} again`,
  'order.completed': () => 'Order completed',
  'order.cancelled': cancelled,
  'order.paid': paid,
  'order.refunded': refunded,
  'order.fulfilled': fulfilled,
};

/** An order's event in words; `before` is the state that it met, unless it was the first. */
export function summarizeOrderEvent(
  action: ActionOf<'order'>,
  order: OrderState,
  before: OrderState | undefined,
): string {
  return summaries[action](order, before);
}

function placed(order: OrderState): string {
  const earlier = order.placedAt === order.createdAt ? '' : `, dated ${order.placedAt.slice(0, 10)}`;
  return `Order placed: ${count(order.lines.length, 'line')}, ${money(order, order.total)} in total${earlier}`;
}

function updated(order: OrderState, before: OrderState | undefined): string {
  if (before === undefined) return 'Note or metadata changed';
  const names = Object.keys({ ...before.metadata, ...order.metadata }).sort();
  const changed = names.filter((name) => before.metadata[name] !== order.metadata[name]);
  const what = [
    ...(order.note === before.note ? [] : [order.note === null ? 'Note removed' : 'Note changed']),
    ...(changed.length === 0 ? [] : [`Metadata changed (${list(changed)})`]),
  ];
  return what.join('. ');
}

function cancelled(order: Cancelled): string {
  const refund = order.refunds?.find(({ version }) => version === order.version);
  const back = refund === undefined ? '' : `, ${money(order, refund.amount)} refunded`;
  const kept = order.paid - order.refunded;
  return `Order cancelled${back}${kept > 0 ? `, ${money(order, kept)} kept` : ''}`;
}

function paid(order: OrderState): string {
  const { amount = 0, provider = '', method = null } = order.payments.at(-1) ?? {};
  const by = method === null ? '' : ` by ${method}`;
  return `Paid ${money(order, amount)}${by} through ${provider}, ${whatIsOpen(order)}`;
}

function whatIsOpen(order: OrderState): string {
  if (order.status === 'cancelled') return 'although the order is cancelled';
  const open = order.total - order.paid;
  if (open > 0) return `${money(order, open)} open`;
  return open === 0 ? 'nothing open' : `${money(order, -open)} above the total`;
}

function refunded(order: OrderState): string {
  const { amount = 0, lines = [], reason = '' } = order.refunds.at(-1) ?? {};
  const articles = lines.length === 0 ? '' : ` for ${inUnits(order, lines)}`;
  return `Refunded ${money(order, amount)}${articles}: ${reason}`;
}

function fulfilled(order: OrderState): string {
  const { lines = [], carrier = null, trackingNumber = null } = order.fulfillments.at(-1) ?? {};
  const by = carrier === null ? '' : ` by ${carrier}`;
  const tracking = trackingNumber === null ? '' : ` (tracking number ${trackingNumber})`;
  const left = order.lines.reduce((sum, line) => sum + line.quantity - line.fulfilled, 0);
  return `Sent out ${inUnits(order, lines)}${by}${tracking}, ${left === 0 ? 'nothing' : count(left, 'unit')} left to send`;
}

function money({ currency }: Pick<OrderState, 'currency'>, amount: number): string {
  return inWords(amount, currency);
}

/** As `2 x TEA-250, 1 x CUP-1`. */
function inUnits(order: OrderState, units: readonly Units[]): string {
  const skus = new Map(order.lines.map(({ position, sku }) => [position, sku]));
  return list(units.map(({ position, quantity }) => `${quantity} x ${skus.get(position) ?? ''}`));
}

function list(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return [...names.slice(0, MOST_NAMED), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

function count(number: number, thing: string): string {
  return number === 1 ? `1 ${thing}` : `${number} ${thing}s`;
}
