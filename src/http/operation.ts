import { STATUS_CODES } from 'node:http';
import { applyDecorators, type Type } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import {
  ApiBody,
  ApiConsumes,
  ApiExtraModels,
  ApiHeader,
  ApiOperation,
  ApiResponse,
  getSchemaPath,
} from '@nestjs/swagger';
import type { ProblemCode } from '../problems/catalogue.js';
import { EXAMPLE_KEY } from './examples.js';
import { type MediaType, Produces } from './negotiation.js';
import { ProblemBody } from './problem.dto.js';
import { problemResponses, text } from './problem-responses.js';

type Reference = { readonly $ref: string };
type Schema =
  Reference | { readonly oneOf: Reference[] } | { readonly type: string; readonly description: string };

/** What a route takes and answers, for the OpenAPI document and for the checks that follow from it. */
interface OperationOptions {
  readonly summary: string;
  readonly description?: string;
  /** The class of one answer, or of one item of a `page`; none is 204. */
  readonly answer?: Type;
  readonly page?: boolean;
  /** The answer is a file, in one of these media types, each with its schema. */
  readonly file?: Readonly<Record<string, Schema>>;
  /** Whether the answer, which is no list, is continued at its `nextCursor`. */
  readonly linksNext?: boolean;
  /** What else can be answered, or instead where there is no class. */
  readonly media?: readonly MediaType[];
  /** 201 with Location instead of 200. */
  readonly creates?: boolean;
  /** Where it is neither 200, 201 with Location nor 204. */
  readonly status?: number;
  /** Whether the answer is a subject with a version: ETag, and If-None-Match on a read. */
  readonly subject?: boolean;
  /** Query parameters are refused unless the route says that it takes some. */
  readonly query?: boolean;
  readonly body?: {
    readonly type: Type;
    readonly example: object;
    readonly mergePatch?: true;
    readonly optional?: true;
  };
  readonly key?: 'required' | 'optional';
  readonly ifMatch?: 'required' | 'optional';
  /** Codes beside those that follow from the options above. */
  readonly problems?: readonly ProblemCode[];
}

/** Whether the route takes query parameters. */
export const TakesQuery = Reflector.createDecorator<boolean>();

/** Documents one operation: summary, headers, and every status with its schema. */
export function Operation(options: OperationOptions): MethodDecorator & ClassDecorator {
  const { summary, description } = options;
  const reads = options.subject === true && options.body === undefined && options.key === undefined;
  return applyDecorators(
    TakesQuery(options.query ?? false),
    ...(options.media ? [Produces([...(options.answer ? ['application/json'] : []), ...options.media])] : []),
    ApiOperation({ summary, ...(description !== undefined && { description }) }),
    ApiExtraModels(ProblemBody, ...(options.answer ? [options.answer] : [])),
    ...(options.body ? requestBody(options.body) : []),
    ...requestHeaders(options, reads),
    answerOf(options),
    ...(reads
      ? [ApiResponse({ status: 304, description: 'Not modified', headers: answerHeaders(options) })]
      : []),
    ...problemResponses(problemCodes(options)),
  );
}

/** Bytes have no schema (OpenAPI 3.1). */
const TEXT = { schema: { type: 'string' as const } };

const always = (description: string) => ({ ...text(description), required: true });

function requestBody({ type, example, mergePatch, optional }: NonNullable<OperationOptions['body']>) {
  const body = ApiBody({ type, required: !optional, examples: { example: { value: example } } });
  return mergePatch ? [ApiConsumes('application/json', 'application/merge-patch+json'), body] : [body];
}

function requestHeaders({ key, ifMatch }: OperationOptions, reads: boolean) {
  const headers = [];
  if (key !== undefined) {
    headers.push(
      ApiHeader({
        name: 'Idempotency-Key',
        required: key === 'required',
        description: 'Makes a retry safe: one key, one change. 1 to 255 printable ASCII characters.',
        ...(key === 'required' && { example: EXAMPLE_KEY }),
      }),
    );
  }
  if (ifMatch !== undefined) {
    headers.push(
      ApiHeader({
        name: 'If-Match',
        required: ifMatch === 'required',
        description: 'ETag of the version that the change is based on, or `*`.',
        ...(ifMatch === 'required' && { example: '"1"' }),
      }),
    );
  }
  if (reads) {
    headers.push(
      ApiHeader({
        name: 'If-None-Match',
        required: false,
        description: 'ETag that you have: 304 when current.',
      }),
    );
  }
  return headers;
}

function answerHeaders({ subject, page, linksNext, file, creates, key }: OperationOptions) {
  return {
    ...(subject && {
      ETag: always('The version in double quotes; with a suffix where the answer depends on who asks.'),
    }),
    ...((page || linksNext) && { Link: text('The next page as `rel="next"`; absent on the last one.') }),
    ...(file && { 'Content-Disposition': always('A name for the file.') }),
    ...(creates && { Location: always('Path of the new subject.') }),
    ...(key && {
      'Idempotency-Replayed': text('`true` when an earlier request with this key had made the change.'),
    }),
  };
}

function answerOf(options: OperationOptions) {
  const { answer, file, media = [], creates, status = creates ? 201 : 200 } = options;
  if (answer === undefined && media.length === 0) {
    return ApiResponse({ status: 204, description: 'No content' });
  }
  return ApiResponse({
    status,
    description: STATUS_CODES[status] ?? 'OK',
    headers: answerHeaders(options),
    content: file
      ? contentOf(file)
      : {
          ...(answer && { 'application/json': { schema: schemaOf(answer, options) } }),
          ...Object.fromEntries(media.map((type) => [type, type === 'text/plain' ? TEXT : {}])),
        },
  });
}

function contentOf(file: NonNullable<OperationOptions['file']>) {
  return Object.fromEntries(Object.entries(file).map(([type, schema]) => [type, { schema }]));
}

function schemaOf(answer: Type, { page }: OperationOptions) {
  return page ? pageOf(answer) : { $ref: getSchemaPath(answer) };
}

function pageOf(item: Type) {
  return {
    type: 'object',
    required: ['data', 'nextCursor'],
    properties: {
      data: { type: 'array', items: { $ref: getSchemaPath(item) } },
      nextCursor: {
        type: ['string', 'null'],
        description: '`?cursor=` of the next page; null on the last one.',
      },
    },
  };
}

/** The codes that a route can answer, from what it takes. */
function problemCodes({ body, key, ifMatch, problems }: OperationOptions): ProblemCode[] {
  const codes: ProblemCode[] = [
    'malformed-request',
    'unknown-parameter',
    'invalid-parameter',
    'not-acceptable',
  ];
  if (body) codes.push('body-too-large', 'unsupported-media-type', 'validation-failed');
  if (key) codes.push('idempotency-in-progress', 'idempotency-key-reused');
  if (key === 'required') codes.push('idempotency-key-missing');
  if (ifMatch) codes.push('version-mismatch');
  if (ifMatch === 'required') codes.push('precondition-required');
  return [...codes, ...(problems ?? []), 'rate-limited', 'internal', 'unavailable', 'timeout'];
}
