import { describe, expect, it } from '@jest/globals';
import {
  availableActions,
  checkLifeCycle,
  describeCommand,
  drawLifeCycle,
  type OrderCommand,
  type OrderCommander,
  type OrderFacts,
  statusAfter,
  type Transition,
  transitions,
} from '../src/orders/life-cycle.js';
import {
  fulfillmentStatuses,
  fulfillmentStatusOf,
  type OrderStatus,
  orderStatuses,
  paymentStatusOf,
} from '../src/orders/status.js';

const commands = ['confirm', 'hold', 'release', 'cancel', 'complete'] as const;
const commanders = ['customer', 'staff', 'nobody'] as const;
type Commander = (typeof commanders)[number];

/**
 * Where each of the commands above leads from a status, `-` where it is not taken, for an order that has what the
 * command needs. Written down by hand, apart from the table in the code.
 */
const expected: Record<OrderStatus | 'on_hold, confirmed before', Record<Commander, string>> = {
  placed: {
    customer: '- - - cancelled -',
    staff: 'confirmed on_hold - cancelled -',
    nobody: '- - - - -',
  },
  confirmed: {
    customer: '- - - - -',
    staff: '- on_hold - cancelled completed',
    nobody: '- - - - -',
  },
  on_hold: {
    customer: '- - - - -',
    staff: '- - placed cancelled -',
    nobody: '- - - - -',
  },
  'on_hold, confirmed before': {
    customer: '- - - - -',
    staff: '- - confirmed cancelled -',
    nobody: '- - - - -',
  },
  completed: {
    customer: '- - - - -',
    staff: '- - - - -',
    nobody: '- - - - -',
  },
  cancelled: {
    customer: '- - - - -',
    staff: '- - - - -',
    nobody: '- - - - -',
  },
};

const fresh = { fulfillmentStatus: 'unfulfilled', total: 1_000, paid: 0, refunded: 0 } as const;
const done = { fulfillmentStatus: 'fulfilled', total: 1_000, paid: 1_000, refunded: 0 } as const;

function factsOf(name: string, rest: Omit<OrderFacts, 'status' | 'heldFrom'>): OrderFacts {
  const status = orderStatuses.find((each) => each === name) ?? 'on_hold';
  if (status !== 'on_hold') return { ...rest, status, heldFrom: null };
  return { ...rest, status, heldFrom: name === status ? 'placed' : 'confirmed' };
}

function asCommander(name: Commander): OrderCommander | undefined {
  return name === 'nobody' ? undefined : name;
}

/** What the command leads to, or `-`. */
function attempt(order: OrderFacts, command: OrderCommand, by: OrderCommander | undefined): string {
  try {
    return statusAfter(order, command, by);
  } catch {
    return '-';
  }
}

describe('the life cycle', () => {
  const cells = Object.entries(expected).flatMap(([name, row]) =>
    commanders.map((by) => [name, by, row[by]] as const),
  );

  it('has the commands and statuses of the table below, and no others', () => {
    expect(Object.keys(transitions)).toEqual(commands);
    expect(Object.keys(expected).filter((name) => !name.includes(','))).toEqual(
      expect.arrayContaining([...orderStatuses]),
    );
  });

  it.each(cells)('of an order that is %s, for %s: %s', (name, by, outcomes) => {
    const results = commands.map((command) =>
      attempt(factsOf(name, command === 'complete' ? done : fresh), command, asCommander(by)),
    );
    expect(results.join(' ')).toBe(outcomes);
  });

  it.each(cells)('offers an order that is %s to %s what leads somewhere', (name, by, outcomes) => {
    const taken = outcomes.split(' ').flatMap((outcome, index) => (outcome === '-' ? [] : [commands[index]]));
    const offered = (rest: typeof fresh | typeof done) =>
      availableActions(factsOf(name, rest), asCommander(by));
    expect(offered(fresh)).toEqual(taken.filter((command) => command !== 'complete'));
    expect(offered(done)).toEqual(taken.filter((command) => command !== 'cancel'));
  });

  it('offers and takes the same, whatever was paid, refunded and sent out', () => {
    for (const name of Object.keys(expected)) {
      for (const fulfillmentStatus of fulfillmentStatuses) {
        for (const { total, paid, refunded } of smallAmounts()) {
          const order = factsOf(name, { fulfillmentStatus, total, paid, refunded });
          for (const by of commanders.map(asCommander)) {
            const taken = commands.filter((command) => attempt(order, command, by) !== '-');
            expect(availableActions(order, by)).toEqual(taken);
          }
        }
      }
    }
  });

  it('lets go of a hold to where the order was, and to nowhere else', () => {
    expect(() => statusAfter({ ...fresh, status: 'on_hold', heldFrom: null }, 'release', 'staff')).toThrow(
      'nowhere before',
    );
  });
});

describe('what a command needs', () => {
  it.each([
    ['unfulfilled', []],
    ['partially_fulfilled', ['nothing-fulfilled']],
    ['fulfilled', ['nothing-fulfilled']],
  ] as const)('cancel, of an order that is %s: %j', (fulfillmentStatus, missing) => {
    for (const status of ['placed', 'confirmed'] as const) {
      expect(missingOf({ ...done, status, heldFrom: null, fulfillmentStatus }, 'cancel')).toEqual(missing);
    }
  });

  it.each([
    ['unfulfilled', 0, 0, ['everything-fulfilled', 'fully-paid']],
    ['partially_fulfilled', 1_000, 0, ['everything-fulfilled']],
    ['fulfilled', 999, 0, ['fully-paid']],
    ['fulfilled', 1_001, 0, ['no-more-than-total-kept']],
    ['unfulfilled', 1_001, 0, ['everything-fulfilled', 'no-more-than-total-kept']],
    ['fulfilled', 1_000, 0, []],
    ['fulfilled', 1_001, 1, []],
    // Paid is paid: what went back later does not open the bill again.
    ['fulfilled', 1_000, 1_000, []],
    ['fulfilled', 999, 999, ['fully-paid']],
  ] as const)(
    'complete, of an order of 1,000 that is %s, %d paid and %d refunded: %j',
    (fulfillmentStatus, paid, refunded, missing) => {
      const order = {
        ...done,
        status: 'confirmed',
        heldFrom: null,
        fulfillmentStatus,
        paid,
        refunded,
      } as const;
      expect(missingOf(order, 'complete')).toEqual(missing);
    },
  );

  it('is not told where the status does not take the command anyway', () => {
    const order = { ...fresh, status: 'placed', heldFrom: null } as const;
    expect(problemOf(order, 'complete')).toMatchObject({
      code: 'illegal-transition',
      detail: 'An order that is placed does not take the command complete.',
      members: { from: 'placed', allowed: ['confirm', 'hold', 'cancel'] },
    });
    expect(missingOf(order, 'complete')).toEqual([]);
    expect(problemOf({ ...order, status: 'confirmed' }, 'cancel', 'customer')).toMatchObject({
      detail: 'An order that is confirmed does not take the command cancel from a customer.',
      members: { from: 'confirmed', allowed: [] },
    });
  });

  function problemOf(order: OrderFacts, command: OrderCommand, by: OrderCommander = 'staff'): unknown {
    try {
      statusAfter(order, command, by);
    } catch (error) {
      return error;
    }
    return undefined;
  }

  function missingOf(order: OrderFacts, command: OrderCommand): unknown {
    const problem = problemOf(order, command);
    if (problem === undefined) return [];
    return (problem as { members: { missing?: unknown } }).members.missing ?? [];
  }
});

describe('the check at start-up', () => {
  const summary = 'Do it';
  const move = (from: OrderStatus, to: Transition['to']): Transition => ({
    from: { staff: [from] },
    to,
    requires: [],
    summary,
  });

  it('accepts the table', () => {
    expect(() => checkLifeCycle()).not.toThrow();
  });

  it.each([
    ['the target', { confirm: move('placed', 'confirmed') }, ['placed']],
    ['the origin', { confirm: move('confirmed', 'placed') }, ['placed']],
    [
      "a customer's origin",
      { cancel: { ...move('placed', 'placed'), from: { customer: ['confirmed'] } } satisfies Transition },
      ['placed'],
    ],
  ])('refuses a status that there is not as %s', (_, table, statuses) => {
    expect(() => checkLifeCycle(table, statuses)).toThrow('unknown status confirmed');
  });

  it.each([
    ['no command leads to', { hold: move('placed', 'on_hold') }],
    [
      'is reached from itself alone',
      { hold: move('placed', 'on_hold'), confirm: move('confirmed', 'confirmed') },
    ],
    ['only a release leads to', { hold: move('placed', 'on_hold'), release: move('on_hold', 'held-from') }],
  ])('refuses a status that %s', (_, table) => {
    expect(() => checkLifeCycle(table, ['placed', 'on_hold', 'confirmed'])).toThrow(
      'No order can reach the status confirmed',
    );
  });

  it('finds statuses over several commands, whatever their order', () => {
    const table = { last: move('on_hold', 'completed'), first: move('placed', 'on_hold') };
    expect(() => checkLifeCycle(table, ['placed', 'on_hold', 'completed'])).not.toThrow();
  });
});

describe('how far an order is paid', () => {
  /** DESIGN 5.5: the first that applies. */
  const rules: [string, (total: number, paid: number, refunded: number) => boolean][] = [
    ['not_required', (total, paid) => total === 0 && paid === 0],
    ['unpaid', (_, paid) => paid === 0],
    ['refunded', (_, paid, refunded) => refunded === paid],
    ['overpaid', (total, paid, refunded) => paid - refunded > total],
    ['partially_paid', (total, paid) => paid < total],
    ['partially_refunded', (total, paid, refunded) => paid - refunded < total],
    ['paid', () => true],
  ];

  it('is the first rule that applies, for all small amounts', () => {
    const met = new Set<string>();
    for (const { total, paid, refunded } of smallAmounts()) {
      const rule = rules.find(([, applies]) => applies(total, paid, refunded))?.[0] ?? '';
      expect([total, paid, refunded, paymentStatusOf(total, paid, refunded)]).toEqual([
        total,
        paid,
        refunded,
        rule,
      ]);
      met.add(rule);
    }
    expect([...met].sort()).toEqual(rules.map(([name]) => name).sort());
  });
});

it.each([
  ['unfulfilled', [0, 0]],
  ['partially_fulfilled', [1, 0]],
  ['partially_fulfilled', [0, 1]],
  ['partially_fulfilled', [2, 0]],
  ['partially_fulfilled', [2, 2]],
  ['fulfilled', [2, 3]],
])('an order is %s when %j units of its lines of 2 and 3 are sent out', (status, [first = 0, second = 0]) => {
  const lines = [
    { quantity: 2, fulfilled: first },
    { quantity: 3, fulfilled: second },
  ];
  expect(fulfillmentStatusOf(lines)).toBe(status);
});

describe('the life cycle on paper', () => {
  it('is drawn with one arrow for each way there is', () => {
    const [title, ...arrows] = drawLifeCycle().split('\n');
    expect(title).toBe('stateDiagram-v2');
    const ways = Object.entries(expected).flatMap(([name, { staff }]) =>
      staff.split(' ').flatMap((to, index) => {
        const [from = ''] = name.split(',');
        return to === '-' ? [] : [`  ${from} --> ${to}: ${commands[index] ?? ''}`];
      }),
    );
    const ends = ['  [*] --> placed', '  completed --> [*]', '  cancelled --> [*]'];
    expect([...arrows].sort()).toEqual([...new Set(ways), ...ends].sort());
  });

  it('says of each command from where, to where, who else and what it needs', () => {
    expect(commands.map(describeCommand)).toEqual([
      'From `placed` to `confirmed`.',
      'From `placed`, `confirmed` to `on_hold`.',
      'From `on_hold` to where it was.',
      'From `placed`, `confirmed`, `on_hold` to `cancelled`. A customer may do it to an own order that is `placed`. ' +
        'It needs: nothing-fulfilled.',
      'From `confirmed` to `completed`. It needs: everything-fulfilled, fully-paid, no-more-than-total-kept.',
    ]);
  });
});

/** All small amounts that an order can have: never more refunded than paid. */
function* smallAmounts() {
  for (let total = 0; total <= 4; total++) {
    for (let paid = 0; paid <= 6; paid++) {
      for (let refunded = 0; refunded <= paid; refunded++) yield { total, paid, refunded };
    }
  }
}
