import { ApiResponse, getSchemaPath } from '@nestjs/swagger';
import { type ProblemCode, problemKinds } from '../problems/catalogue.js';
import { Problem } from '../problems/problem.js';
import { ProblemBody } from './problem.dto.js';

const EXAMPLE_REQUEST_ID = '00000000-0000-7000-8000-00000000000f';

/** A header of an answer that holds text. */
export const text = (description: string) => ({ description, schema: { type: 'string' as const } });

/** Documents the failures with these codes, those of one status together. */
export function problemResponses(codes: readonly ProblemCode[]) {
  const byStatus = Map.groupBy(codes, (code) => problemKinds[code].status);
  return [...byStatus].map(([status, codesOfStatus]) =>
    ApiResponse({
      status,
      description: codesOfStatus.map((code) => `\`${code}\``).join(', '),
      headers: headersOf(status, codesOfStatus),
      content: {
        'application/problem+json': {
          schema: { $ref: getSchemaPath(ProblemBody) },
          examples: examplesOf(codesOfStatus),
        },
      },
    }),
  );
}

function headersOf(status: number, codes: readonly ProblemCode[]) {
  const isTemporary = codes.includes('idempotency-in-progress') || codes.includes('not-sealed');
  const asksForPatience = status === 429 || status === 503 || isTemporary;
  return {
    ...(status === 401 && { 'WWW-Authenticate': text('How to send credentials (RFC 6750).') }),
    ...(codes.includes('version-mismatch') && { ETag: text('The current version in double quotes.') }),
    ...(asksForPatience && { 'Retry-After': text('Seconds to wait before the next attempt.') }),
  };
}

function examplesOf(codes: readonly ProblemCode[]) {
  return Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }]));
}

/** One example for each code, which the responses refer to: `components.examples` of the document. */
export function problemExamples() {
  const codes = Object.keys(problemKinds) as ProblemCode[];
  const example = (code: ProblemCode) => ({
    value: new Problem(code, problemKinds[code].meaning).toBody(EXAMPLE_REQUEST_ID),
  });
  return Object.fromEntries(codes.map((code) => [code, example(code)]));
}
