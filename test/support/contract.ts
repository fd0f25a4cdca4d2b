import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Response } from 'supertest';

interface Header {
  readonly required?: boolean;
  readonly $ref?: string;
}
interface Answer {
  readonly $ref?: string;
  readonly headers?: Readonly<Record<string, Header>>;
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { responses: Record<string, Answer> }>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly headers: Readonly<Record<string, Header>>;
    readonly responses: Readonly<Record<string, Answer>>;
  };
}

/** Headers that a client may rely upon: present only where they are documented. */
const CONTRACT_HEADERS = [
  'Content-Disposition',
  'ETag',
  'Link',
  'Location',
  'Retry-After',
  'Idempotency-Replayed',
  'X-Request-Id',
  'RateLimit',
  'RateLimit-Policy',
  'WWW-Authenticate',
];

const document = JSON.parse(
  readFileSync(new URL('../../openapi.json', import.meta.url), 'utf8'),
  (_name, value: unknown) => (isClosable(value) ? { ...value, additionalProperties: false } : value),
) as Document;

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema({ $id: 'openapi', components: document.components });
const validators = new Map<object, ValidateFunction>();

/** Throws unless the answer to the method (in lower case) is one that openapi.json describes: status, media type, body and headers. */
export function expectContract(method: string, path: string, response: Response): void {
  const where = `${method} ${path} -> ${response.status}`;
  const answer = findAnswer(method, path, response.status);
  if (answer === undefined) throw new Error(`${where} is not in openapi.json`);

  expectHeaders(where, answer, response);
  const type = response.type;
  const media = answer.content?.[type];
  if (media === undefined) {
    if (answer.content === undefined && !response.text) return;
    throw new Error(`${where} has the type ${type}, which openapi.json does not tell of`);
  }
  // HEAD: there is no body to look at.
  if (method === 'head') return;
  // Bytes have no schema.
  if (media.schema === undefined) {
    if (!Buffer.isBuffer(response.body)) throw new Error(`${where} has no bytes`);
    return;
  }
  const validate = validatorOf(media.schema);
  for (const body of bodiesOf(response)) {
    if (!validate(body)) {
      throw new Error(
        `${where} is not as openapi.json says: ${ajv.errorsText(validate.errors)}\n${response.text}`,
      );
    }
  }
}

/** What the schema describes: the JSON, each line of NDJSON, or the text. */
function bodiesOf(response: Response): unknown[] {
  if (/[/+]json$/.test(response.type)) return [response.body];
  if (response.type !== 'application/x-ndjson') return [response.text];
  return response.text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

function expectHeaders(where: string, answer: Answer, response: Response): void {
  for (const [name, header] of Object.entries(answer.headers ?? {})) {
    const { required } = header.$ref === undefined ? header : (document.components.headers[name] ?? header);
    if (required && response.get(name) === undefined) throw new Error(`${where} lacks the header ${name}`);
  }
  for (const name of CONTRACT_HEADERS) {
    if (response.get(name) !== undefined && answer.headers?.[name] === undefined) {
      throw new Error(`${where} has the header ${name}, which openapi.json does not tell of`);
    }
  }
}

/** The documented answer; outside the documented routes a problem is expected. */
function findAnswer(method: string, path: string, status: number): Answer | undefined {
  const pathname = new URL(path, 'http://localhost').pathname;
  const item = Object.entries(document.paths).find(([template]) =>
    new RegExp(`^${template.replace('{place}', '.+').replace(/\{\w+\}/g, '[^/]+')}/?$`).test(pathname),
  )?.[1];
  const operation = item?.[method === 'head' ? 'get' : method];
  const answer = operation?.responses[status];
  if (operation !== undefined) {
    return answer?.$ref === undefined
      ? answer
      : document.components.responses[answer.$ref.split('/').at(-1) ?? ''];
  }
  if (status !== 404 && status !== 405) return undefined;
  const schema = { $ref: 'openapi#/components/schemas/ProblemBody' };
  return { headers: { 'X-Request-Id': {} }, content: { 'application/problem+json': { schema } } };
}

function validatorOf(schema: object): ValidateFunction {
  const known = validators.get(schema);
  if (known) return known;
  const absolute: unknown = JSON.parse(
    JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/'),
  );
  const validate = ajv.compile(absolute as object);
  validators.set(schema, validate);
  return validate;
}

/** An object schema that names its members describes all of them: one more would be undocumented. */
function isClosable(value: unknown): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    value.type === 'object' &&
    'properties' in value &&
    !('additionalProperties' in value)
  );
}
