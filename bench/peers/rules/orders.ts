import { v7 as uuidv7 } from 'uuid';

/** The body of a placement, once it is validated. */
export interface Placement {
  readonly userId?: string;
  readonly reference?: string | null;
  readonly currency: string;
  readonly lines: readonly PlacementLine[];
  readonly shipping?: number;
  readonly note?: string | null;
  readonly metadata?: Record<string, string>;
}

interface PlacementLine {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unitPrice: number;
  readonly discountPpm?: number;
  readonly taxPpm?: number;
}

interface Amounts {
  subtotal: number;
  discount: number;
  tax: number;
  total: number;
}

export interface LineRow extends Amounts {
  orderId: string;
  orderVersion: number;
  position: number;
  sku: string;
  name: string;
  quantity: number;
  unitPrice: number;
  discountPpm: number;
  taxPpm: number;
}

export interface OrderRow extends Amounts {
  id: string;
  version: number;
  userId: string;
  reference: string | null;
  currency: string;
  status: string;
  paymentStatus: string;
  fulfillmentStatus: string;
  shipping: number;
  paid: number;
  refunded: number;
  note: string | null;
  metadata: Record<string, string>;
  placedAt: Date;
  createdAt: Date;
  updatedAt: Date;
  lines: LineRow[];
}

/** A new order of the user, priced in integers: each component of a line rounded half up once. */
export function newOrder(userId: string, placement: Placement): OrderRow {
  const id = uuidv7();
  const now = new Date();
  const lines = placement.lines.map((line, index) => newLine(id, index + 1, line));
  const sum = (component: keyof Amounts) => lines.reduce((total, line) => total + line[component], 0);
  const shipping = placement.shipping ?? 0;
  const total = sum('total') + shipping;
  if (!Number.isSafeInteger(total)) throw new RangeError('The amounts are too large');
  return {
    id,
    version: 1,
    userId,
    reference: placement.reference ?? null,
    currency: placement.currency,
    status: 'placed',
    paymentStatus: total === 0 ? 'not_required' : 'unpaid',
    fulfillmentStatus: 'unfulfilled',
    subtotal: sum('subtotal'),
    discount: sum('discount'),
    tax: sum('tax'),
    shipping,
    total,
    paid: 0,
    refunded: 0,
    note: placement.note ?? null,
    metadata: placement.metadata ?? {},
    placedAt: now,
    createdAt: now,
    updatedAt: now,
    lines,
  };
}

function newLine(orderId: string, position: number, line: PlacementLine): LineRow {
  const { sku, name, quantity, unitPrice, discountPpm = 0, taxPpm = 0 } = line;
  const subtotal = BigInt(quantity) * BigInt(unitPrice);
  const discount = share(subtotal, discountPpm);
  const tax = share(subtotal - discount, taxPpm);
  return {
    ...{ orderId, orderVersion: 1, position, sku, name, quantity, unitPrice, discountPpm, taxPpm },
    subtotal: Number(subtotal),
    discount: Number(discount),
    tax: Number(tax),
    total: Number(subtotal - discount + tax),
  };
}

function share(amount: bigint, ppm: number): bigint {
  return (2n * amount * BigInt(ppm) + 1_000_000n) / 2_000_000n;
}

/** An order as its event records it. Peers only place orders, so nothing was ever held, paid or sent. */
export function orderState(order: OrderRow) {
  return {
    id: order.id,
    userId: order.userId,
    reference: order.reference,
    currency: order.currency,
    status: order.status,
    hold: null,
    paymentStatus: order.paymentStatus,
    fulfillmentStatus: order.fulfillmentStatus,
    lines: order.lines.map(lineState).sort((a, b) => a.position - b.position),
    payments: [],
    refunds: [],
    fulfillments: [],
    subtotal: order.subtotal,
    discount: order.discount,
    tax: order.tax,
    shipping: order.shipping,
    total: order.total,
    paid: order.paid,
    refunded: order.refunded,
    note: order.note,
    metadata: order.metadata,
    version: order.version,
    placedAt: order.placedAt.toISOString(),
    createdAt: order.createdAt.toISOString(),
    updatedAt: order.updatedAt.toISOString(),
  };
}

function lineState(line: LineRow) {
  const { orderId: _, orderVersion: __, ...shown } = line;
  return { ...shown, fulfilled: 0, refunded: 0 };
}

export type OrderState = ReturnType<typeof orderState>;

/** An order as the API answers it. */
export function orderResponse(state: OrderState, role: string) {
  const availableActions = role === 'customer' ? ['cancel'] : ['confirm', 'hold', 'cancel'];
  return { ...state, balance: state.total - state.paid, availableActions };
}
