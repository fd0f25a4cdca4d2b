interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** What happened and what the caller can do, for the page at `/problems/{code}`. */
  readonly meaning: string;
}

/** Every failure that clients can meet, by its stable code. */
export const problemKinds = {
  'malformed-request': {
    status: 400,
    title: 'Malformed request',
    meaning:
      'A header or the body could not be parsed: JSON that is cut short, empty, nested too deeply or not UTF-8, or a header of the wrong form. Mend the request.',
  },
  'unknown-parameter': {
    status: 400,
    title: 'Unknown query parameter',
    meaning:
      'The query holds a parameter that this route does not take. A mistyped filter must not widen a list.',
  },
  'invalid-parameter': {
    status: 400,
    title: 'Invalid query parameter',
    meaning: 'A query parameter has a value that is not accepted, or is given more than once.',
  },
  'invalid-cursor': {
    status: 400,
    title: 'Invalid cursor',
    meaning: 'The cursor was not made by this list with these filters. Start again without a cursor.',
  },
  'idempotency-key-missing': {
    status: 400,
    title: 'Idempotency key missing',
    meaning: 'This route needs an Idempotency-Key header, so that a retry cannot do the work twice.',
  },
  unauthenticated: {
    status: 401,
    title: 'Not signed in',
    meaning:
      'The request carries no credentials, or such that are not valid (any more): sign in at /v1/auth/login and send the access token, or an API key, as `Authorization: Bearer ...`. At sign-in: e-mail address or password is wrong.',
  },
  'token-expired': {
    status: 401,
    title: 'Token expired',
    meaning: 'The token was valid once. Get a new access token at /v1/auth/refresh, or sign in again.',
  },
  'refresh-reused': {
    status: 401,
    title: 'Refresh token used before',
    meaning:
      'The refresh token had been exchanged already, so that somebody else may have it: the session is ended. Sign in again.',
  },
  forbidden: {
    status: 403,
    title: 'Not allowed',
    meaning: 'You are known, but your role, or the scopes of your API key, do not allow this.',
  },
  'not-found': {
    status: 404,
    title: 'Not found',
    meaning: 'There is nothing here: the path or the id is unknown, or not yours to see.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path exists, but not with this method. The Allow header lists those that do.',
  },
  'not-acceptable': {
    status: 406,
    title: 'Not acceptable',
    meaning: 'The Accept header rules out what this route answers: JSON, unless the contract says otherwise.',
  },
  'request-timeout': {
    status: 408,
    title: 'Request too slow',
    meaning: 'The request did not arrive completely in time.',
  },
  'already-exists': {
    status: 409,
    title: 'Already exists',
    meaning: 'Another subject holds this value, which must be unique; `field` names it.',
  },
  'idempotency-in-progress': {
    status: 409,
    title: 'First request still in progress',
    meaning:
      'A request with the same idempotency key is still being carried out. Retry after the given seconds.',
  },
  'not-sealed': {
    status: 409,
    title: 'Not sealed yet',
    meaning:
      'The event is committed, but no published checkpoint of the audit log covers it yet, so that there is no proof. That takes a second or two: retry after the given seconds.',
  },
  'illegal-transition': {
    status: 409,
    title: 'Not possible in this state',
    meaning:
      'The state does not allow the command: `from` is the state, `allowed` lists the commands it takes, `missing` what the command needs beside the state.',
  },
  'refund-exceeds-paid': {
    status: 409,
    title: 'Refund exceeds what was paid',
    meaning: 'No more goes back than came in; `refundable` is what is left, in minor units.',
  },
  'quantity-exceeds-line': {
    status: 409,
    title: 'More units than the line has left',
    meaning: 'The line at `position` has only `remaining` units that were not sent out or refunded before.',
  },
  'totals-changed': {
    status: 409,
    title: 'Totals changed',
    meaning:
      'The order comes to other totals than `expectedTotalsHash` says; `totalsHash` belongs to those it comes to now. Preview it again, then decide.',
  },
  'last-admin': {
    status: 409,
    title: 'Last admin',
    meaning: 'Nobody else could administer the service any more: make somebody else an admin first.',
  },
  'version-mismatch': {
    status: 412,
    title: 'Version mismatch',
    meaning:
      'If-Match does not name the current version, which `currentVersion` tells. Read again, then decide.',
  },
  'body-too-large': {
    status: 413,
    title: 'Body too large',
    meaning: 'A request body may have 1 MB at most.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'Unsupported media type',
    meaning:
      'Bodies are JSON in UTF-8: `Content-Type: application/json` (for PATCH also `application/merge-patch+json`).',
  },
  'validation-failed': {
    status: 422,
    title: 'Validation failed',
    meaning:
      'The body was parsed, but says something that is not accepted; `errors` lists each fault with its pointer.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'Idempotency key reused',
    meaning: 'The key belongs to an earlier, different request. Take a new key for a new request.',
  },
  'money-overflow': {
    status: 422,
    title: 'Amount too large',
    meaning: 'A computed amount exceeds 9007199254740991 minor units, the largest that JSON carries exactly.',
  },
  'failed-dependency': {
    status: 424,
    title: 'Another item failed',
    meaning:
      'In a batch that is placed as a whole or not at all, another item failed: nothing was placed, and all keys are free. Mend or leave out the items with other statuses, then send the batch again.',
  },
  'precondition-required': {
    status: 428,
    title: 'Precondition required',
    meaning: 'PATCH needs an If-Match header with the version that the change is based on.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many requests',
    meaning:
      'More requests than this caller may send in a minute. Go on after the seconds in Retry-After; the RateLimit headers of every answer tell how many are left.',
  },
  'too-many-attempts': {
    status: 429,
    title: 'Too many attempts',
    meaning:
      'Too many failed attempts for this account or from this address. Wait for the seconds in Retry-After; each further failure makes the wait longer.',
  },
  'header-too-large': {
    status: 431,
    title: 'Header too large',
    meaning: 'The request line and headers together are larger than 16 KiB.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    meaning:
      'A fault of the service. It is logged under the request id. With the same idempotency key a retry is safe.',
  },
  unavailable: {
    status: 503,
    title: 'Service unavailable',
    meaning:
      'The service or its database cannot answer now. Retry after the given seconds; with the same idempotency key a retry is safe whatever became of this request.',
  },
  timeout: {
    status: 504,
    title: 'Timeout',
    meaning:
      'The request took too long. What became of it is not known; with the same idempotency key a retry is safe.',
  },
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof problemKinds;
