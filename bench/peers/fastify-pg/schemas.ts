const uuid = { type: 'string', format: 'uuid' } as const;
const text = { type: 'string' } as const;
const nullableText = { type: ['string', 'null'] } as const;
const integer = { type: 'integer' } as const;
const amount = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
const ppm = { type: 'integer', minimum: 0, maximum: 1_000_000, default: 0 } as const;
const nothing = { type: 'array', maxItems: 0, items: {} } as const;
const texts = { type: 'object', additionalProperties: text } as const;

/** An object of exactly these members, all of them there. */
function members<P extends object>(properties: P) {
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
}

export const login = members({
  email: { type: 'string', minLength: 1, maxLength: 254 },
  password: { type: 'string', minLength: 1, maxLength: 128 },
});

export const tokens = members({ accessToken: text, tokenType: text, expiresIn: integer, refreshToken: text });

export const byId = members({ id: uuid });

export const user = members({
  id: text,
  name: text,
  email: text,
  role: text,
  status: text,
  version: integer,
  createdAt: text,
  updatedAt: text,
});

export const keyHeader = {
  type: 'object',
  required: ['idempotency-key'],
  properties: { 'idempotency-key': { type: 'string', pattern: '^[\\x20-\\x7e]{1,255}$' } },
};

export const placement = {
  type: 'object',
  required: ['currency', 'lines'],
  additionalProperties: false,
  properties: {
    userId: uuid,
    reference: { type: ['string', 'null'], minLength: 1, maxLength: 100 },
    currency: { type: 'string', pattern: '^[A-Z]{3}$' },
    lines: {
      type: 'array',
      minItems: 1,
      maxItems: 200,
      items: {
        type: 'object',
        required: ['sku', 'name', 'quantity', 'unitPrice'],
        additionalProperties: false,
        properties: {
          sku: { type: 'string', minLength: 1, maxLength: 64 },
          name: { type: 'string', minLength: 1, maxLength: 200 },
          quantity: { type: 'integer', minimum: 1, maximum: 1_000_000 },
          unitPrice: amount,
          discountPpm: ppm,
          taxPpm: ppm,
        },
      },
    },
    shipping: { ...amount, default: 0 },
    note: { type: ['string', 'null'], maxLength: 2_000 },
    metadata: {
      type: 'object',
      maxProperties: 50,
      additionalProperties: { type: 'string', maxLength: 500 },
      default: {},
    },
  },
};

export const orderQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    userId: uuid,
    limit: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
    cursor: { type: 'string', maxLength: 100 },
  },
};

const line = members({
  position: integer,
  sku: text,
  name: text,
  quantity: integer,
  unitPrice: integer,
  discountPpm: integer,
  taxPpm: integer,
  subtotal: integer,
  discount: integer,
  tax: integer,
  total: integer,
  fulfilled: integer,
  refunded: integer,
});

export const order = members({
  id: text,
  userId: text,
  reference: nullableText,
  currency: text,
  status: text,
  hold: { type: 'null' },
  paymentStatus: text,
  fulfillmentStatus: text,
  lines: { type: 'array', items: line },
  payments: nothing,
  refunds: nothing,
  fulfillments: nothing,
  subtotal: integer,
  discount: integer,
  tax: integer,
  shipping: integer,
  total: integer,
  paid: integer,
  refunded: integer,
  balance: integer,
  note: nullableText,
  metadata: texts,
  availableActions: { type: 'array', items: text },
  version: integer,
  placedAt: text,
  createdAt: text,
  updatedAt: text,
});

export const orderPage = members({ data: { type: 'array', items: order }, nextCursor: nullableText });
