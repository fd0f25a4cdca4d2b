import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createKey, createPerson, type Person } from './support/people.js';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

type Caller = Pick<TestService, 'send'>;

interface OrderEvent {
  version: number;
  action: string;
  summary: string;
  changes: { pointer: string; from: unknown; to: unknown }[];
}

/** What an order costs that `placeOrder` places: lines of 4,405 (3 units) and 855 (1 unit). */
const TOTAL = 5_260;

let service: TestService;
let user: UserBody;
beforeAll(async () => {
  service = await startService();
  user = await createUser(service);
});
afterAll(() => service.stop());

/** Gives an order a command under a key of its own. */
function give(id: string, command: string, body: object = {}, caller: Caller = service) {
  return caller.send('post', `/v1/orders/${id}/${command}`).set('Idempotency-Key', randomUUID()).send(body);
}

/** Gives an order commands that it takes, one after the other, and returns the last answer. */
async function bring(id: string, ...commands: [command: string, body?: object][]): Promise<OrderBody> {
  let answer: OrderBody | undefined;
  for (const [command, body] of commands) {
    answer = (await give(id, command, body).expect(200)).body as OrderBody;
  }
  if (answer === undefined) throw new Error('No command was given');
  return answer;
}

async function place(members: object = {}): Promise<string> {
  return (await placeOrder(service, user.id, members)).id;
}

async function read(id: string): Promise<OrderBody> {
  return (await service.send('get', `/v1/orders/${id}`).expect(200)).body as OrderBody;
}

async function eventsOf(id: string): Promise<OrderEvent[]> {
  const response = await service.send('get', `/v1/orders/${id}/events?limit=100`).expect(200);
  return (response.body as { data: OrderEvent[] }).data;
}

function payment(amount: number, providerReference: string = randomUUID()) {
  return { amount, provider: 'bank', providerReference };
}

/** How many answers there are of each status. */
function tally(answers: readonly { readonly status: number }[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

const HOLD = ['hold', { reason: 'Address is being checked' }] as [string, object];
const ALL_UNITS = {
  lines: [
    { position: 1, quantity: 3 },
    { position: 2, quantity: 1 },
  ],
};

interface Step {
  readonly command: string;
  readonly body?: object;
  /** What the answer has, among other members. */
  readonly answer: object;
  readonly action: string;
  readonly summary: string;
  /** Members that the event says were changed, among others. */
  readonly changed: readonly string[];
}

describe.each<[string, readonly Step[]]>([
  [
    'from its placement to the end',
    [
      {
        command: 'hold',
        body: { reason: 'Address is being checked' },
        answer: {
          status: 'on_hold',
          hold: { from: 'placed', reason: 'Address is being checked' },
          availableActions: ['release', 'cancel'],
        },
        action: 'order.held',
        summary: 'Put on hold: Address is being checked',
        changed: ['/status', '/hold'],
      },
      {
        command: 'release',
        answer: { status: 'placed', hold: null, availableActions: ['confirm', 'hold', 'cancel'] },
        action: 'order.released',
        summary: 'Released from hold, placed again',
        changed: ['/status', '/hold'],
      },
      {
        command: 'confirm',
        answer: { status: 'confirmed', availableActions: ['hold', 'cancel'] },
        action: 'order.confirmed',
        summary: 'Order confirmed',
        changed: ['/status'],
      },
      {
        command: 'payments',
        body: { amount: 2_000, provider: 'stripe', providerReference: 'ch_1', method: 'card' },
        answer: {
          paymentStatus: 'partially_paid',
          paid: 2_000,
          balance: 3_260,
          payments: [
            {
              version: 5,
              at: expect.any(String),
              amount: 2_000,
              provider: 'stripe',
              providerReference: 'ch_1',
              method: 'card',
            },
          ],
        },
        action: 'order.paid',
        summary: 'Paid EUR 20.00 by card through stripe, EUR 32.60 open',
        changed: ['/paid', '/paymentStatus', '/payments/0'],
      },
      {
        command: 'payments',
        body: { amount: 3_260, provider: 'bank', providerReference: 'ch_1' },
        answer: { paymentStatus: 'paid', paid: TOTAL, balance: 0 },
        action: 'order.paid',
        summary: 'Paid EUR 32.60 through bank, nothing open',
        changed: ['/paid', '/paymentStatus', '/payments/1'],
      },
      {
        command: 'fulfillments',
        body: { lines: [{ position: 1, quantity: 2 }], carrier: 'DHL', trackingNumber: '0034' },
        answer: {
          fulfillmentStatus: 'partially_fulfilled',
          availableActions: ['hold'],
          fulfillments: [
            {
              version: 7,
              at: expect.any(String),
              lines: [{ position: 1, quantity: 2 }],
              carrier: 'DHL',
              trackingNumber: '0034',
            },
          ],
        },
        action: 'order.fulfilled',
        summary: 'Sent out 2 x TEA-250 by DHL (tracking number 0034), 2 units left to send',
        changed: ['/fulfillmentStatus', '/fulfillments/0', '/lines/0/fulfilled'],
      },
      {
        command: 'hold',
        body: { reason: 'Second parcel is late' },
        answer: {
          hold: { from: 'confirmed', reason: 'Second parcel is late' },
          availableActions: ['release'],
        },
        action: 'order.held',
        summary: 'Put on hold: Second parcel is late',
        changed: ['/status', '/hold'],
      },
      {
        command: 'release',
        answer: { status: 'confirmed', hold: null },
        action: 'order.released',
        summary: 'Released from hold, confirmed again',
        changed: ['/status', '/hold'],
      },
      {
        command: 'fulfillments',
        body: {
          lines: [
            { position: 2, quantity: 1 },
            { position: 1, quantity: 1 },
          ],
        },
        answer: { fulfillmentStatus: 'fulfilled', availableActions: ['hold', 'complete'] },
        action: 'order.fulfilled',
        summary: 'Sent out 1 x TEA-250, 1 x CUP-1, nothing left to send',
        changed: ['/fulfillmentStatus', '/fulfillments/1', '/lines/0/fulfilled', '/lines/1/fulfilled'],
      },
      {
        command: 'refunds',
        body: { lines: [{ position: 1, quantity: 1 }], reason: 'Broken' },
        answer: {
          paymentStatus: 'partially_refunded',
          refunded: 1_468,
          balance: 0,
          refunds: [
            {
              version: 11,
              at: expect.any(String),
              amount: 1_468,
              reason: 'Broken',
              lines: [{ position: 1, quantity: 1, amount: 1_468 }],
            },
          ],
        },
        action: 'order.refunded',
        summary: 'Refunded EUR 14.68 for 1 x TEA-250: Broken',
        changed: ['/refunded', '/paymentStatus', '/refunds/0', '/lines/0/refunded'],
      },
      {
        command: 'refunds',
        body: { amount: 100, reason: 'Late' },
        answer: { paymentStatus: 'partially_refunded', refunded: 1_568 },
        action: 'order.refunded',
        summary: 'Refunded EUR 1.00: Late',
        changed: ['/refunded', '/refunds/1'],
      },
      {
        command: 'complete',
        answer: { status: 'completed', availableActions: [] },
        action: 'order.completed',
        summary: 'Order completed',
        changed: ['/status'],
      },
      {
        command: 'refunds',
        body: { full: true, reason: 'All came back' },
        answer: { status: 'completed', paymentStatus: 'refunded', refunded: TOTAL, paid: TOTAL },
        action: 'order.refunded',
        summary: 'Refunded EUR 36.92: All came back',
        changed: ['/refunded', '/paymentStatus', '/refunds/2'],
      },
      {
        command: 'payments',
        body: payment(1),
        answer: { status: 'completed', paymentStatus: 'partially_refunded', paid: TOTAL + 1, balance: -1 },
        action: 'order.paid',
        summary: 'Paid EUR 0.01 through bank, EUR 0.01 above the total',
        changed: ['/paid', '/paymentStatus', '/payments/2'],
      },
    ],
  ],
  [
    'that is cancelled after a payment',
    [
      {
        command: 'payments',
        body: payment(100),
        answer: { status: 'placed', paid: 100 },
        action: 'order.paid',
        summary: 'Paid EUR 1.00 through bank, EUR 51.60 open',
        changed: ['/paid'],
      },
      {
        command: 'hold',
        body: { reason: 'Is it wanted?' },
        answer: { status: 'on_hold' },
        action: 'order.held',
        summary: 'Put on hold: Is it wanted?',
        changed: ['/status', '/hold'],
      },
      {
        command: 'cancel',
        body: { refund: 'full' },
        answer: {
          status: 'cancelled',
          hold: null,
          paymentStatus: 'refunded',
          paid: 100,
          refunded: 100,
          refunds: [
            { version: 4, at: expect.any(String), amount: 100, reason: 'Order cancelled', lines: [] },
          ],
          availableActions: [],
        },
        action: 'order.cancelled',
        summary: 'Order cancelled, EUR 1.00 refunded',
        changed: ['/status', '/hold', '/refunded', '/paymentStatus', '/refunds/0'],
      },
      {
        command: 'payments',
        body: payment(TOTAL),
        answer: { status: 'cancelled', paymentStatus: 'paid', paid: TOTAL + 100 },
        action: 'order.paid',
        summary: 'Paid EUR 52.60 through bank, although the order is cancelled',
        changed: ['/paid', '/paymentStatus', '/payments/1'],
      },
      {
        command: 'refunds',
        body: { full: true, reason: 'It was cancelled' },
        answer: { status: 'cancelled', paymentStatus: 'refunded' },
        action: 'order.refunded',
        summary: 'Refunded EUR 52.60: It was cancelled',
        changed: ['/refunded', '/paymentStatus', '/refunds/1'],
      },
    ],
  ],
])('an order %s', (_, steps) => {
  let id: string;
  const answers: { text: string; etag: string | undefined; body: OrderBody }[] = [];
  beforeAll(async () => {
    id = await place();
    for (const { command, body } of steps) {
      const response = await give(id, command, body);
      expect([command, response.status]).toEqual([command, 200]);
      answers.push({
        text: response.text,
        etag: response.get('ETag'),
        body: response.body as OrderBody,
      });
    }
  });

  it('answers each command with what became of it, as the next version', async () => {
    expect(answers.map(({ body }) => body)).toEqual(
      steps.map(({ answer }, index) => expect.objectContaining({ ...answer, version: index + 2 })),
    );
    for (const [index, { etag }] of answers.entries()) expect(etag).toMatch(new RegExp(`^"${index + 2}["]`));
  });

  it('tells each command by one event, in words, with what it changed', async () => {
    const [placed, ...events] = await eventsOf(id);
    expect(placed).toMatchObject({ version: 1, action: 'order.placed' });
    expect(events.map(({ version, action, summary }) => ({ version, action, summary }))).toEqual(
      steps.map(({ action, summary }, index) => ({ version: index + 2, action, summary })),
    );
    for (const [index, { changed }] of steps.entries()) {
      expect(events[index]?.changes.map(({ pointer }) => pointer)).toEqual(
        expect.arrayContaining([...changed]),
      );
    }
  });

  it('is at each version, byte for byte, what the command answered', async () => {
    for (const { text, etag, body } of answers) {
      const then = await service.send('get', `/v1/orders/${id}?version=${body.version}`).expect(200);
      expect(then.text).toBe(text);
      expect(then.get('ETag')).toBe(etag);
    }
    expect((await service.send('get', `/v1/orders/${id}`).expect(200)).text).toBe(answers.at(-1)?.text);
  });

  it('is at each instant, byte for byte, what the last command until then answered', async () => {
    for (const { body } of answers) {
      const last = answers.findLast((answer) => answer.body.updatedAt === body.updatedAt);
      const then = await service.send('get', `/v1/orders/${id}?asOf=${body.updatedAt}`).expect(200);
      expect(then.text).toBe(last?.text);
    }
  });
});

describe('a hold', () => {
  it('needs a reason, which the events keep when the hold is over', async () => {
    const id = await place();
    const refused = await give(id, 'hold').expect(422);
    expect(refused.body).toMatchObject({ errors: [{ pointer: '/reason' }] });
    await bring(id, HOLD, ['release']);
    const [, held, released] = await eventsOf(id);
    const hold = { from: 'placed', reason: 'Address is being checked' };
    expect(held?.changes).toContainEqual({ pointer: '/hold', from: null, to: hold });
    expect(released?.changes).toContainEqual({ pointer: '/hold', from: hold, to: null });
  });

  it('is not put on an order that is held', async () => {
    const id = await place();
    await bring(id, HOLD);
    const refused = await give(id, ...HOLD).expect(409);
    expect(refused.body).toMatchObject({ from: 'on_hold', allowed: ['release', 'cancel'] });
  });
});

describe('a payment', () => {
  it('is booked once: its reference is refused on the same order and on another', async () => {
    const [id, other] = [await place(), await place()];
    const paid = payment(100);
    await give(id, 'payments', paid).expect(200);
    for (const order of [id, other]) {
      const refused = await give(order, 'payments', { ...paid, amount: 200 }).expect(409);
      expect(refused.body).toMatchObject({ code: 'already-exists', field: 'providerReference' });
    }
    await give(other, 'payments', { ...paid, provider: 'another bank' }).expect(200);
    expect(await read(id)).toMatchObject({ paid: 100, version: 2 });
    expect(await read(other)).toMatchObject({ paid: 100, version: 2 });
  });

  it('is booked once by 20 requests that race, on one order or on several', async () => {
    const orders = [await place(), await place(), await place()];
    const paid = payment(100);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => give(orders[index % 3] ?? '', 'payments', paid)),
    );
    expect(tally(answers)).toEqual({ 200: 1, 409: 19 });
    for (const { status, body } of answers) {
      if (status === 409) expect(body).toMatchObject({ code: 'already-exists', field: 'providerReference' });
    }
    const states = await Promise.all(orders.map(read));
    expect(states.map((order) => order.paid).sort()).toEqual([0, 0, 100]);
    expect(states.map((order) => order.version).sort()).toEqual([1, 1, 2]);
  });

  it('may be more than the total, up to 2^53 - 1 in all', async () => {
    const id = await place();
    const most = Number.MAX_SAFE_INTEGER;
    const paid = await bring(id, ['payments', payment(most)]);
    expect(paid).toMatchObject({ paid: most, balance: TOTAL - most, paymentStatus: 'overpaid' });
    const refused = await give(id, 'payments', payment(1)).expect(422);
    expect(refused.body).toMatchObject({ code: 'money-overflow' });
    expect(await bring(id, ['refunds', { full: true, reason: 'Too much' }])).toMatchObject({
      refunded: most,
    });
  });

  it.each([
    ['/amount', { amount: 0 }],
    ['/amount', { amount: 1.5 }],
    ['/amount', { amount: Number.MAX_SAFE_INTEGER + 1 }],
    ['/provider', { provider: '' }],
    ['/providerReference', { providerReference: undefined }],
    ['/method', { method: null }],
  ])('is refused with a wrong %s: %j', async (pointer, members) => {
    const refused = await give(await place(), 'payments', { ...payment(1), ...members }).expect(422);
    expect(refused.body).toMatchObject({ code: 'validation-failed', errors: [{ pointer }] });
  });
});

describe('a refund', () => {
  const reason = 'Broken';

  it.each([
    ['none', {}],
    ['amount and full', { amount: 1, full: true }],
    ['amount and lines', { amount: 1, lines: [{ position: 1, quantity: 1 }] }],
    ['lines and full', { lines: [{ position: 1, quantity: 1 }], full: true }],
  ])('takes one of amount, lines and full, and not %s', async (_, body) => {
    const id = await place();
    await bring(id, ['payments', payment(TOTAL)]);
    const refused = await give(id, 'refunds', { ...body, reason }).expect(422);
    expect(refused.body).toMatchObject({ code: 'validation-failed', errors: [{ code: 'one-of' }] });
    expect(await read(id)).toMatchObject({ refunded: 0, version: 2 });
  });

  it.each([
    ['/amount', { amount: 0 }],
    ['/full', { full: false }],
    ['/lines', { lines: [] }],
    ['/lines/0/quantity', { lines: [{ position: 1, quantity: 0 }] }],
    ['/reason', { amount: 1, reason: '' }],
  ])('is refused with a wrong %s: %j', async (pointer, body) => {
    const refused = await give(await place(), 'refunds', { reason, ...body }).expect(422);
    const { errors } = refused.body as { errors: object[] };
    expect(errors).toContainEqual(expect.objectContaining({ pointer }));
  });

  it('never goes past what was paid', async () => {
    const id = await place();
    const past = async (body: object, refundable: number) => {
      const refused = await give(id, 'refunds', { ...body, reason }).expect(409);
      expect(refused.body).toMatchObject({ code: 'refund-exceeds-paid', refundable });
    };
    await past({ amount: 1 }, 0);
    await past({ full: true }, 0);
    await past({ lines: [{ position: 1, quantity: 1 }] }, 0);
    await bring(id, ['payments', payment(1_000)]);
    await past({ amount: 1_001 }, 1_000);
    await past({ lines: [{ position: 1, quantity: 1 }] }, 1_000);
    await bring(id, ['refunds', { amount: 600, reason }]);
    await past({ amount: 401 }, 400);
    await bring(id, ['refunds', { full: true, reason }]);
    await past({ full: true }, 0);
    expect(await read(id)).toMatchObject({ paid: 1_000, refunded: 1_000, version: 4 });
  });

  it('of units gives back the line to the cent, and no unit twice', async () => {
    const id = await place();
    await bring(id, ['payments', payment(TOTAL)]);
    const one = { lines: [{ position: 1, quantity: 1 }], reason };
    const amounts = [];
    for (let unit = 1; unit <= 3; unit++) amounts.push((await bring(id, ['refunds', one])).refunded);
    expect(amounts).toEqual([1_468, 2_937, 4_405]);
    const refused = await give(id, 'refunds', one).expect(409);
    expect(refused.body).toMatchObject({ code: 'quantity-exceeds-line', position: 1, remaining: 0 });
    const both = { lines: [{ position: 2, quantity: 2 }], reason };
    const tooMany = await give(id, 'refunds', both).expect(409);
    expect(tooMany.body).toMatchObject({ position: 2, remaining: 1 });
  });

  it('says at which places positions are unknown or repeated, all at once', async () => {
    const id = await place();
    await bring(id, ['payments', payment(TOTAL)], ['confirm']);
    const wrong = [1, 3, 1, 200].map((position) => ({ position, quantity: 1 }));
    for (const [command, body] of [
      ['refunds', { lines: wrong, reason }],
      ['fulfillments', { lines: wrong }],
    ] as const) {
      const refused = await give(id, command, body).expect(422);
      expect((refused.body as { errors: object[] }).errors).toEqual([
        { pointer: '/lines/1/position', code: 'unknown', detail: expect.any(String) },
        { pointer: '/lines/2/position', code: 'repeated', detail: expect.any(String) },
        { pointer: '/lines/3/position', code: 'unknown', detail: expect.any(String) },
      ]);
    }
    expect(await read(id)).toMatchObject({ refunded: 0, version: 3 });
  });

  it('records shares that round to 0, also where nothing was paid', async () => {
    const id = await place({ lines: [{ sku: 'PIN', name: 'Pin', quantity: 3, unitPrice: 0 }], shipping: 1 });
    const unit = { lines: [{ position: 1, quantity: 1 }], reason };
    const answer = await bring(id, ['refunds', unit]);
    expect(answer).toMatchObject({
      refunded: 0,
      paymentStatus: 'unpaid',
      refunds: [{ amount: 0, lines: [{ position: 1, quantity: 1, amount: 0 }] }],
      lines: [{ refunded: 1 }],
    });
    const penny = await place({
      lines: [{ sku: 'PIN', name: 'Pin', quantity: 3, unitPrice: 1, discountPpm: 666_667 }],
    });
    await bring(penny, ['payments', payment(1)]);
    const amounts = [];
    for (let count = 1; count <= 3; count++) amounts.push((await bring(penny, ['refunds', unit])).refunded);
    expect(amounts).toEqual([0, 1, 1]);
  });
});

describe('a fulfillment', () => {
  const one = { lines: [{ position: 1, quantity: 1 }] };

  it('is refused unless the order is confirmed', async () => {
    const id = await place();
    const refuse = async (from: string) => {
      const refused = await give(id, 'fulfillments', one).expect(409);
      expect(refused.body).toMatchObject({ code: 'illegal-transition', from });
    };
    await refuse('placed');
    await bring(id, ['confirm'], HOLD);
    await refuse('on_hold');
    await bring(id, ['cancel']);
    await refuse('cancelled');
    expect(await read(id)).toMatchObject({ fulfillmentStatus: 'unfulfilled', fulfillments: [], version: 4 });
  });

  it('never sends out more than was ordered', async () => {
    const id = await place();
    await bring(id, ['confirm'], ['fulfillments', { lines: [{ position: 1, quantity: 2 }] }]);
    const refused = await give(id, 'fulfillments', { lines: [{ position: 1, quantity: 2 }] }).expect(409);
    expect(refused.body).toMatchObject({ code: 'quantity-exceeds-line', position: 1, remaining: 1 });
    await bring(id, ['fulfillments', one]);
    await give(id, 'fulfillments', one).expect(409);
  });

  it('never sends out more than was ordered when 20 requests race', async () => {
    const id = await place();
    await bring(id, ['confirm']);
    const answers = await Promise.all(Array.from({ length: 20 }, () => give(id, 'fulfillments', one)));
    expect(tally(answers)).toEqual({ 200: 3, 409: 17 });
  });

  it.each([
    ['/lines', { lines: [] }],
    ['/lines', {}],
    ['/lines/0/position', { lines: [{ position: 0, quantity: 1 }] }],
    ['/carrier', { ...one, carrier: '' }],
  ])('is refused with a wrong %s: %j', async (pointer, body) => {
    const id = await place();
    await bring(id, ['confirm']);
    const refused = await give(id, 'fulfillments', body).expect(422);
    expect(refused.body).toMatchObject({ errors: [{ pointer }] });
  });
});

describe('a cancellation', () => {
  it('asks where the money goes when some is held', async () => {
    const id = await place();
    await bring(id, ['payments', payment(700)], ['refunds', { amount: 200, reason: 'Late' }]);
    const refused = await give(id, 'cancel').expect(422);
    expect(refused.body).toMatchObject({ errors: [{ pointer: '/refund', code: 'required' }] });
    const wrong = await give(id, 'cancel', { refund: 'half' }).expect(422);
    expect(wrong.body).toMatchObject({ errors: [{ pointer: '/refund' }] });
    expect(await bring(id, ['cancel', { refund: 'full' }])).toMatchObject({
      status: 'cancelled',
      paid: 700,
      refunded: 700,
      paymentStatus: 'refunded',
    });
  });

  it('keeps the money if told so', async () => {
    const id = await place();
    await bring(id, ['payments', payment(700)]);
    expect(await bring(id, ['cancel', { refund: 'none' }])).toMatchObject({
      status: 'cancelled',
      paid: 700,
      refunded: 0,
      refunds: [],
      paymentStatus: 'partially_paid',
    });
    const [, , cancelled] = await eventsOf(id);
    expect(cancelled?.summary).toBe('Order cancelled, EUR 7.00 kept');
  });

  it.each(['full', 'none'])('with refund %s gives nothing back where nothing is held', async (refund) => {
    const id = await place();
    await bring(id, ['payments', payment(700)], ['refunds', { full: true, reason: 'Changed mind' }]);
    const answer = await bring(id, ['cancel', { refund }]);
    expect(answer).toMatchObject({ status: 'cancelled', refunded: 700 });
    expect(answer.refunds).toHaveLength(1);
  });

  it('is too late once something was sent out', async () => {
    const id = await place();
    await bring(id, ['confirm'], ['fulfillments', { lines: [{ position: 1, quantity: 1 }] }]);
    for (const [from, allowed] of [
      ['confirmed', ['hold']],
      ['on_hold', ['release']],
    ] as const) {
      const refused = await give(id, 'cancel').expect(409);
      expect(refused.body).toMatchObject({
        code: 'illegal-transition',
        from,
        allowed,
        missing: ['nothing-fulfilled'],
      });
      if (from === 'confirmed') await bring(id, HOLD);
    }
  });
});

it('completing names what is missing, until nothing is', async () => {
  const id = await place();
  const refuse = async (expected: object) => {
    const refused = await give(id, 'complete').expect(409);
    expect(refused.body).toMatchObject({ code: 'illegal-transition', ...expected });
  };
  await refuse({ from: 'placed', allowed: ['confirm', 'hold', 'cancel'] });
  await bring(id, ['confirm']);
  await refuse({
    from: 'confirmed',
    allowed: ['hold', 'cancel'],
    missing: ['everything-fulfilled', 'fully-paid'],
  });
  await bring(id, ['fulfillments', ALL_UNITS], ['payments', payment(TOTAL - 1)]);
  await refuse({ allowed: ['hold'], missing: ['fully-paid'] });
  await bring(id, ['payments', payment(2)]);
  await refuse({ missing: ['no-more-than-total-kept'] });
  await bring(id, ['refunds', { amount: 1, reason: 'A cent too much' }]);
  expect(await bring(id, ['complete'])).toMatchObject({ status: 'completed', paymentStatus: 'paid' });
  await refuse({ from: 'completed', allowed: [] });
});

describe('who may', () => {
  let customer: Person;
  let own: Caller;
  beforeAll(async () => {
    customer = await createPerson(service);
    own = service.as(customer.accessToken);
  });
  const ownOrder = async () => (await placeOrder(service, customer.user.id)).id;

  it('a customer cancels an own order while it is placed', async () => {
    const id = await ownOrder();
    const cancelled = await give(id, 'cancel', {}, own).expect(200);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', availableActions: [] });
    const [, event] = await eventsOf(id);
    expect(event).toMatchObject({ actor: { type: 'user', id: customer.user.id } });
  });

  it.each([
    ['confirmed', [['confirm']]],
    ['on_hold', [HOLD]],
    ['completed', [['confirm'], ['fulfillments', ALL_UNITS], ['payments', payment(TOTAL)], ['complete']]],
  ] as [string, [string, object?][]][])(
    'a customer no longer cancels one that is %s',
    async (from, commands) => {
      const id = await ownOrder();
      await bring(id, ...commands);
      const refused = await give(id, 'cancel', {}, own).expect(409);
      expect(refused.body).toMatchObject({ code: 'illegal-transition', from, allowed: [] });
      expect(refused.body).not.toHaveProperty('missing');
    },
  );

  it('a customer says where the money goes', async () => {
    const id = await ownOrder();
    await bring(id, ['payments', payment(100)]);
    await give(id, 'cancel', {}, own).expect(422);
    const cancelled = await give(id, 'cancel', { refund: 'full' }, own).expect(200);
    expect(cancelled.body).toMatchObject({ refunded: 100 });
  });

  it("a customer neither cancels nor sees somebody else's", async () => {
    const refused = await give(await place(), 'cancel', {}, own).expect(404);
    expect(refused.body).toMatchObject({ code: 'not-found' });
  });

  it.each(['confirm', 'hold', 'release', 'complete', 'payments', 'refunds', 'fulfillments'])(
    'a customer does not give the command %s, nor does a key that only reads',
    async (command) => {
      const id = await ownOrder();
      const reader = service.as(await createKey(service, ['orders:read']));
      for (const caller of [own, reader]) {
        // Permission comes before validation: the body is none that the command takes.
        const refused = await give(id, command, { no: 'such member' }, caller).expect(403);
        expect(refused.body).toMatchObject({ code: 'forbidden' });
      }
      expect(await read(id)).toMatchObject({ version: 1 });
    },
  );

  it('is offered what they may do, now and in the past, alone and in lists', async () => {
    const staff = await createPerson(service, 'staff');
    const callers: [string, Caller, string[][]][] = [
      ['customer', own, [['cancel'], [], []]],
      ['staff', service.as(staff.accessToken), [['confirm', 'hold', 'cancel'], ['hold', 'cancel'], []]],
      ['admin', service, [['confirm', 'hold', 'cancel'], ['hold', 'cancel'], []]],
      ['reader', service.as(await createKey(service, ['orders:read'])), [[], [], []]],
      [
        'writer',
        service.as(await createKey(service, ['orders:read', 'orders:write'])),
        [['confirm', 'hold', 'cancel'], ['hold', 'cancel'], []],
      ],
    ];
    const id = await ownOrder();
    const offered = async (caller: Caller, path: string) => {
      const { body } = await caller.send('get', path).expect(200);
      const [order] = 'data' in body ? (body as { data: OrderBody[] }).data : [body as OrderBody];
      return order?.availableActions;
    };
    for (const [index, command] of ['confirm', 'cancel', undefined].entries()) {
      for (const [name, caller, actions] of callers) {
        const expected = [name, actions[index]];
        expect([name, await offered(caller, `/v1/orders/${id}`)]).toEqual(expected);
        const list = `/v1/orders?userId=${customer.user.id}&limit=1`;
        expect([name, await offered(caller, list)]).toEqual(expected);
      }
      if (command !== undefined) await bring(id, [command]);
    }
    for (const [name, caller, actions] of callers) {
      for (const [index, expected] of actions.entries()) {
        const then = await offered(caller, `/v1/orders/${id}?version=${index + 1}`);
        expect([name, then]).toEqual([name, expected]);
      }
    }
  });

  it('a key that only writes commands as the staff does', async () => {
    const writer = service.as(await createKey(service, ['orders:write']));
    const confirmed = await give(await place(), 'confirm', {}, writer).expect(200);
    expect(confirmed.body).toMatchObject({ status: 'confirmed', availableActions: ['hold', 'cancel'] });
  });
});

describe('a command that is sent again', () => {
  /** A body, and another one that is none the less valid. */
  const bodies: [string, object, object][] = [
    ['payments', payment(100), payment(200)],
    ['refunds', { amount: 50, reason: 'Late' }, { amount: 51, reason: 'Late' }],
    ['fulfillments', { lines: [{ position: 1, quantity: 1 }] }, { lines: [{ position: 2, quantity: 1 }] }],
    ['hold', { reason: 'Sent twice' }, { reason: 'Sent once' }],
    ['cancel', {}, { refund: 'none' }],
  ];

  it.each(bodies)(
    'with its key answers the same bytes and does nothing: %s',
    async (command, body, another) => {
      const id = await place();
      if (command === 'refunds') await bring(id, ['payments', payment(100)]);
      if (command === 'fulfillments') await bring(id, ['confirm']);
      const key = randomUUID();
      const send = () => service.send('post', `/v1/orders/${id}/${command}`).set('Idempotency-Key', key);
      const first = await send().send(body).expect(200);
      expect(first.get('Idempotency-Replayed')).toBeUndefined();
      // By now the order is another one, and a condition would fail: the first answer comes first.
      await bring(id, ['payments', payment(1)]);
      const again = await send().set('If-Match', '"1"').send(body).expect(200);
      expect(again.text).toBe(first.text);
      expect(again.get('ETag')).toBe(first.get('ETag'));
      expect(again.get('Idempotency-Replayed')).toBe('true');
      const reused = await send().send(another).expect(422);
      expect(reused.body).toMatchObject({ code: 'idempotency-key-reused' });
      expect(await read(id)).toMatchObject({ version: (first.body as OrderBody).version + 1 });
    },
  );

  it.each(bodies.slice(0, 3))('must have a key: %s', async (command, body) => {
    const id = await place();
    const refused = await service.send('post', `/v1/orders/${id}/${command}`).send(body).expect(400);
    expect(refused.body).toMatchObject({ code: 'idempotency-key-missing' });
  });

  it('at the same time, 20 times with one key, is carried out once', async () => {
    const id = await place();
    const [key, body] = [randomUUID(), payment(100)];
    const answers = await Promise.all(
      Array.from({ length: 20 }, () =>
        service.send('post', `/v1/orders/${id}/payments`).set('Idempotency-Key', key).send(body),
      ),
    );
    expect(tally(answers)).toEqual({ 200: 20 });
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(await read(id)).toMatchObject({ paid: 100, version: 2 });
  });
});

describe('a command on a version', () => {
  it.each<[string, object]>([
    ['confirm', {}],
    ['hold', { reason: 'x' }],
    ['release', {}],
    ['cancel', {}],
    ['complete', {}],
    ['payments', payment(1)],
    ['refunds', { full: true, reason: 'x' }],
    ['fulfillments', ALL_UNITS],
  ])('that is over is refused before anything else: %s', async (command, body) => {
    const id = await place();
    await bring(id, ['payments', payment(1)], ['cancel', { refund: 'none' }]);
    for (const tag of ['"2"', '"4"', 'W/"3"']) {
      const refused = await give(id, command, body).set('If-Match', tag).expect(412);
      expect(refused.body).toMatchObject({ code: 'version-mismatch', currentVersion: 3 });
    }
    await give(id, command, body).set('If-Match', '3').expect(400);
    await give(randomUUID(), command, body).set('If-Match', '"3"').expect(404);
    expect(await read(id)).toMatchObject({ version: 3 });
  });

  it('that is current is carried out, and with * on any', async () => {
    const id = await place();
    let etag = '"1"';
    for (const [command, body] of [
      HOLD,
      ['release', {}],
      ['confirm', {}],
      ['payments', payment(5)],
    ] as const) {
      const answer = await give(id, command, body).set('If-Match', etag).expect(200);
      etag = answer.get('ETag') ?? '';
    }
    await give(id, 'fulfillments', ALL_UNITS).set('If-Match', '"1", "5"').expect(200);
    await give(id, 'refunds', { full: true, reason: 'x' }).set('If-Match', '*').expect(200);
  });

  it('is carried out by one of 20 clients that have all seen it', async () => {
    const id = await place();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => give(id, 'payments', payment(1)).set('If-Match', '"1"')),
    );
    expect(tally(answers)).toEqual({ 200: 1, 412: 19 });
  });
});

describe('50 clients on one order at once', () => {
  it('leave it as one after the other would: every change has its version and its event', async () => {
    const id = await place();
    await bring(id, ['payments', payment(1_000)]);
    const commands: [string, () => object][] = [
      ['confirm', () => ({})],
      ['payments', () => payment(100)],
      ['refunds', () => ({ amount: 300, reason: 'Race' })],
      ['hold', () => ({ reason: 'Race' })],
      ['cancel', () => ({ refund: 'full' })],
    ];
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const [command, body] = commands[index % commands.length] ?? ['', () => ({})];
        return { command, response: await give(id, command, body()) };
      }),
    );
    const taken = answers.filter(({ response }) => response.status === 200);
    const refused = answers.filter(({ response }) => response.status !== 200);
    expect(new Set(refused.map(({ response }) => response.status))).toEqual(new Set([409]));

    const versions = taken.map(({ response }) => (response.body as OrderBody).version).sort((a, b) => a - b);
    expect(versions).toEqual(taken.map((_, index) => index + 3));
    const events = await eventsOf(id);
    const actions: Record<string, string> = {
      confirm: 'order.confirmed',
      payments: 'order.paid',
      refunds: 'order.refunded',
      hold: 'order.held',
      cancel: 'order.cancelled',
    };
    for (const { command, response } of taken) {
      const { version } = response.body as OrderBody;
      expect(events[version - 1]).toMatchObject({ version, action: actions[command] });
    }
    expect(events).toHaveLength(taken.length + 2);

    const order = await read(id);
    const sum = (list: unknown) =>
      (list as { amount: number }[]).reduce((all, { amount }) => all + amount, 0);
    expect(order).toMatchObject({
      status: 'cancelled',
      version: taken.length + 2,
      paid: 1_000 + 100 * taken.filter(({ command }) => command === 'payments').length,
    });
    expect([sum(order.payments), sum(order.refunds)]).toEqual([order.paid, order.refunded]);
    expect(order.refunded).toBeLessThanOrEqual(Number(order.paid));
  });

  it('refund no more than was paid', async () => {
    const id = await place();
    await bring(id, ['payments', payment(1_000)]);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => give(id, 'refunds', { amount: 300, reason: 'Race' })),
    );
    expect(tally(answers)).toEqual({ 200: 3, 409: 47 });
    for (const { status, body } of answers) {
      if (status === 409) expect(body).toMatchObject({ code: 'refund-exceeds-paid', refundable: 100 });
    }
    expect(await read(id)).toMatchObject({ paid: 1_000, refunded: 900, version: 5 });
  });

  it('refund no unit twice', async () => {
    const id = await place();
    await bring(id, ['payments', payment(TOTAL)]);
    const unit = { lines: [{ position: 1, quantity: 1 }], reason: 'Race' };
    const answers = await Promise.all(Array.from({ length: 50 }, () => give(id, 'refunds', unit)));
    expect(tally(answers)).toEqual({ 200: lines[0]?.quantity, 409: 47 });
    expect(await read(id)).toMatchObject({ refunded: 4_405 });
  });
});
