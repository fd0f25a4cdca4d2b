import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createPerson, type Person } from './support/people.js';
import { type OrderBody, placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

// Random commands to random orders: the service and a small model of DESIGN 5.5 say the same after every one of them.
// ORDO_MODEL_RUNS=500 looks longer.
const RUNS = Number(process.env.ORDO_MODEL_RUNS ?? 15);

interface Line {
  readonly quantity: number;
  readonly unitPrice: number;
  readonly discountPpm: number;
  readonly taxPpm: number;
}
interface Units {
  readonly position: number;
  readonly quantity: number;
}
interface Move {
  readonly name: 'confirm' | 'hold' | 'release' | 'complete';
}
interface Cancel {
  readonly name: 'cancel';
  readonly by: 'staff' | 'customer';
  readonly refund?: 'full' | 'none';
}
/** Without an amount, of what is open. */
interface Payment {
  readonly name: 'payments';
  readonly amount?: number;
}
/** Without amount and lines, in full. */
interface Refund {
  readonly name: 'refunds';
  readonly amount?: number;
  readonly lines?: readonly Units[];
}
/** Without lines, of what is not sent out yet. */
interface Fulfillment {
  readonly name: 'fulfillments';
  readonly lines?: readonly Units[];
}
type Command = Move | Cancel | Payment | Refund | Fulfillment;

/** What the model knows of an order. */
interface Model {
  readonly total: number;
  readonly lines: readonly { readonly quantity: number; readonly total: number }[];
  status: string;
  heldFrom: string | null;
  paid: number;
  refunded: number;
  /** Units by line. */
  readonly sent: number[];
  readonly returned: number[];
  version: number;
}
/** `ok`, or the code of the refusal. */
type Outcome = string;

// Numbers this small are exact: Math.round takes halves up, as the design does.
function newModel(lines: readonly Line[], shipping: number): Model {
  const totals = lines.map(({ quantity, unitPrice, discountPpm, taxPpm }) => {
    const subtotal = quantity * unitPrice;
    const net = subtotal - Math.round((subtotal * discountPpm) / 1e6);
    return { quantity, total: net + Math.round((net * taxPpm) / 1e6) };
  });
  return {
    total: totals.reduce((sum, line) => sum + line.total, shipping),
    lines: totals,
    status: 'placed',
    heldFrom: null,
    paid: 0,
    refunded: 0,
    sent: lines.map(() => 0),
    returned: lines.map(() => 0),
    version: 1,
  };
}

function fulfillmentOf({ lines, sent }: Model): string {
  const [out, ordered] = [sum(sent), sum(lines.map(({ quantity }) => quantity))];
  if (out === 0) return 'unfulfilled';
  return out === ordered ? 'fulfilled' : 'partially_fulfilled';
}

function paymentOf({ total, paid, refunded }: Model): string {
  const kept = paid - refunded;
  if (paid > 0 && kept === 0) return 'refunded';
  if (kept > total) return 'overpaid';
  if (paid === 0) return total > 0 ? 'unpaid' : 'not_required';
  if (paid < total) return 'partially_paid';
  return kept === total ? 'paid' : 'partially_refunded';
}

function actionsOf(order: Model): string[] {
  const cancel = sum(order.sent) === 0 ? ['cancel'] : [];
  const isDone = fulfillmentOf(order) === 'fulfilled' && order.paid >= order.total;
  const complete = isDone && order.paid - order.refunded <= order.total ? ['complete'] : [];
  if (order.status === 'placed') return ['confirm', 'hold', ...cancel];
  if (order.status === 'confirmed') return ['hold', ...cancel, ...complete];
  return order.status === 'on_hold' ? ['release', ...cancel] : [];
}

/** Carries the command out in the model. */
function apply(order: Model, command: Command): Outcome {
  const result = carryOut(order, command);
  if (result === 'ok') order.version += 1;
  return result;
}

function carryOut(order: Model, command: Command): Outcome {
  switch (command.name) {
    case 'payments':
      order.paid += amountOf(order, command);
      return 'ok';
    case 'refunds':
      return refund(order, command);
    case 'fulfillments':
      return fulfill(order, unitsOf(order, command));
    case 'cancel':
      return cancel(order, command);
    case 'confirm':
    case 'hold':
    case 'release':
    case 'complete':
      return move(order, command);
  }
}

function move(order: Model, { name }: Move): Outcome {
  if (!actionsOf(order).includes(name)) return 'illegal-transition';
  const before = order.status;
  order.status = {
    confirm: 'confirmed',
    hold: 'on_hold',
    release: order.heldFrom ?? '',
    complete: 'completed',
  }[name];
  order.heldFrom = name === 'hold' ? before : null;
  return 'ok';
}

function cancel(order: Model, { by, refund: wanted }: Cancel): Outcome {
  const isTooLate = by === 'customer' && order.status !== 'placed';
  if (isTooLate || !actionsOf(order).includes('cancel')) return 'illegal-transition';
  if (order.paid > order.refunded && wanted === undefined) return 'validation-failed';
  if (wanted === 'full') order.refunded = order.paid;
  order.status = 'cancelled';
  order.heldFrom = null;
  return 'ok';
}

function refund(order: Model, { amount, lines }: Refund): Outcome {
  const left = order.paid - order.refunded;
  if (lines === undefined) {
    const back = amount ?? left;
    if (back === 0 || back > left) return 'refund-exceeds-paid';
    order.refunded += back;
    return 'ok';
  }
  const returned = [...order.returned];
  const fault = addUnits(order, returned, lines);
  if (fault !== undefined) return fault;
  const upTo = (units: readonly number[]) =>
    order.lines.map(({ total, quantity }, index) => Math.round((total * (units[index] ?? 0)) / quantity));
  const back = sum(upTo(returned)) - sum(upTo(order.returned));
  if (back > left) return 'refund-exceeds-paid';
  order.returned.splice(0, returned.length, ...returned);
  order.refunded += back;
  return 'ok';
}

function fulfill(order: Model, lines: readonly Units[]): Outcome {
  if (order.status !== 'confirmed') return 'illegal-transition';
  const sent = [...order.sent];
  const fault = addUnits(order, sent, lines);
  if (fault !== undefined) return fault;
  order.sent.splice(0, sent.length, ...sent);
  return 'ok';
}

/** Adds to the units by line, or says why that cannot be. */
function addUnits({ lines }: Model, units: number[], added: readonly Units[]): Outcome | undefined {
  const positions = added.map(({ position }) => position);
  const isUnknown = positions.some((position) => position > lines.length);
  if (isUnknown || new Set(positions).size < positions.length) return 'validation-failed';
  for (const { position, quantity } of added) units[position - 1] = (units[position - 1] ?? 0) + quantity;
  return lines.some(({ quantity }, index) => (units[index] ?? 0) > quantity)
    ? 'quantity-exceeds-line'
    : undefined;
}

function amountOf(order: Model, { amount }: { readonly amount?: number }): number {
  return amount ?? Math.max(1, order.total - order.paid);
}

function unitsOf(order: Model, { lines }: { readonly lines?: readonly Units[] }): readonly Units[] {
  if (lines !== undefined) return lines;
  const left = order.lines.map((line, index) => ({
    position: index + 1,
    quantity: line.quantity - (order.sent[index] ?? 0),
  }));
  const open = left.filter(({ quantity }) => quantity > 0);
  return open.length > 0 ? open : [{ position: 1, quantity: 1 }];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0);
}

const rate = fc.constantFrom(0, 50_000, 190_000, 333_333, 1_000_000);
const line = fc.record({
  quantity: fc.integer({ min: 1, max: 4 }),
  unitPrice: fc.integer({ min: 0, max: 20 }),
  discountPpm: rate,
  taxPpm: rate,
});
const units = fc.array(
  fc.record({ position: fc.integer({ min: 1, max: 3 }), quantity: fc.integer({ min: 1, max: 3 }) }),
  { minLength: 1, maxLength: 2 },
);
const amount = fc.integer({ min: 1, max: 60 });
const optional: { requiredKeys: ['name'] } = { requiredKeys: ['name'] };
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ name: fc.constant('confirm' as const) }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constantFrom('hold' as const, 'release' as const) }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('release' as const) }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('complete' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        name: fc.constant('cancel' as const),
        by: fc.constantFrom('staff' as const, 'customer' as const),
        refund: fc.constantFrom('full' as const, 'none' as const),
      },
      { requiredKeys: ['name', 'by'] },
    ),
  },
  { weight: 3, arbitrary: fc.record({ name: fc.constant('payments' as const), amount }, optional) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('refunds' as const), amount }, optional) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('refunds' as const), lines: units }) },
  { weight: 3, arbitrary: fc.record({ name: fc.constant('fulfillments' as const), lines: units }, optional) },
);

/** What can become of each command. */
const OUTCOMES = [
  'cancel: illegal-transition',
  'cancel: ok',
  'cancel: validation-failed',
  'complete: illegal-transition',
  'complete: ok',
  'confirm: illegal-transition',
  'confirm: ok',
  'fulfillments: illegal-transition',
  'fulfillments: ok',
  'fulfillments: quantity-exceeds-line',
  'fulfillments: validation-failed',
  'hold: illegal-transition',
  'hold: ok',
  'payments: ok',
  'refunds: ok',
  'refunds: quantity-exceeds-line',
  'refunds: refund-exceeds-paid',
  'refunds: validation-failed',
  'release: illegal-transition',
  'release: ok',
];

let service: TestService;
let customer: Person;
beforeAll(async () => {
  service = await startService();
  customer = await createPerson(service);
});
afterAll(() => service.stop());

function bodyOf(order: Model, given: Command): object {
  switch (given.name) {
    case 'hold':
      return { reason: 'Model' };
    case 'cancel':
      return given.refund === undefined ? {} : { refund: given.refund };
    case 'payments':
      return { amount: amountOf(order, given), provider: 'model', providerReference: randomUUID() };
    case 'refunds': {
      const { amount: back, lines } = given;
      const full = back === undefined && lines === undefined ? true : undefined;
      return { amount: back, lines, full, reason: 'Model' };
    }
    case 'fulfillments':
      return { lines: unitsOf(order, given) };
    case 'confirm':
    case 'release':
    case 'complete':
      return {};
  }
}

function expectedBody(order: Model, by: 'staff' | 'customer'): object {
  const isCustomers = (action: string) => action === 'cancel' && order.status === 'placed';
  return {
    status: order.status,
    paymentStatus: paymentOf(order),
    fulfillmentStatus: fulfillmentOf(order),
    total: order.total,
    paid: order.paid,
    refunded: order.refunded,
    balance: order.total - order.paid,
    lines: order.lines.map(({ total, quantity }, index) => ({
      total,
      quantity,
      fulfilled: order.sent[index],
      refunded: order.returned[index],
    })),
    availableActions: by === 'staff' ? actionsOf(order) : actionsOf(order).filter(isCustomers),
    version: order.version,
  };
}

it(
  'an order is what the model says, whatever commands it is given',
  async () => {
    const met = new Set<string>();
    const lines = fc.array(line, { minLength: 1, maxLength: 3 });
    const commands = fc.array(command, { maxLength: 30, size: 'max' });
    await fc.assert(
      fc.asyncProperty(lines, fc.nat(10), commands, async (wanted, shipping, given) => {
        const model = newModel(wanted, shipping);
        const named = wanted.map((each) => ({ ...each, sku: 'MODEL', name: 'Model' }));
        const placed = await placeOrder(service, customer.user.id, { lines: named, shipping });
        const own = service.as(customer.accessToken);
        expect(placed).toMatchObject(expectedBody(model, 'staff'));
        for (const each of given) {
          const by = each.name === 'cancel' ? each.by : 'staff';
          const body = bodyOf(model, each);
          const expected = apply(model, each);
          const response = await (by === 'staff' ? service : own)
            .send('post', `/v1/orders/${placed.id}/${each.name}`)
            .set('Idempotency-Key', randomUUID())
            .send(body);
          const { code } = response.body as { code?: string };
          expect([each, response.status === 200 ? 'ok' : code]).toEqual([each, expected]);
          met.add(`${each.name}: ${expected}`);
          if (expected === 'ok') expect(response.body).toMatchObject(expectedBody(model, by));
        }
        const path = `/v1/orders/${placed.id}`;
        const seen = await service.send('get', path).expect(200);
        expect(seen.body).toMatchObject(expectedBody(model, 'staff'));
        const seenByOwner = await own.send('get', path).expect(200);
        expect(seenByOwner.body).toMatchObject(expectedBody(model, 'customer'));
        const events = await service.send('get', `${path}/events?limit=100`).expect(200);
        const versions = (events.body as { data: OrderBody[] }).data.map(({ version }) => version);
        expect(versions).toEqual(Array.from({ length: model.version }, (_, index) => index + 1));
      }),
      { numRuns: RUNS },
    );
    // A long look that misses one of these has not looked.
    if (RUNS >= 200) expect([...met].sort()).toEqual(OUTCOMES);
  },
  30_000 + RUNS * 2_000,
);
