/** Ids in examples, by the path of what they stand for; the page at `/docs` puts ids that exist in their place. */
export const EXAMPLE_IDS = {
  users: '00000000-0000-7000-8000-000000000001',
  orders: '00000000-0000-7000-8000-000000000002',
  'orders/events': '00000000-0000-7000-8000-000000000006',
  'audit/events': '00000000-0000-7000-8000-000000000003',
  'auth/sessions': '00000000-0000-7000-8000-000000000005',
  'api-keys': '00000000-0000-7000-8000-000000000004',
} as const;

/** The e-mail addresses and the idempotency key in examples; each visit of the page at `/docs` gets new ones. */
export const EXAMPLE_EMAIL = 'ada@example.com';
export const OTHER_EXAMPLE_EMAIL = 'grace@example.com';
export const EXAMPLE_KEY = 'a-key-of-your-own';
