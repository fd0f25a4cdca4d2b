import { readFileSync, writeFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from '../app.module.js';
import { ACCESS_TOKEN, API_KEY } from '../http/access.js';
import { type ServiceConfig, readConfig } from '../config/config.js';
import { problemExamples } from '../http/problem-responses.js';
import { runCommand } from './run-command.js';

const DESCRIPTION = `Users, orders and an audit trail.

Failures are problems (RFC 9457): \`type\` leads to a page about the \`code\`. Send an \`Idempotency-Key\` and a retry is
safe. Every subject has a \`version\`, which is its ETag; PATCH requires it as \`If-Match\`. Lists are pages by cursor.`;

const HEADERS = {
  'X-Request-Id': {
    description: 'Id of the request, a UUID; also in the log and in problem bodies.',
    required: true,
    schema: { type: 'string', format: 'uuid' },
  },
  'RateLimit-Policy': {
    description: 'Limits that apply: `"<name>";q=<requests>;w=<seconds>`.',
    schema: { type: 'string' },
  },
  RateLimit: {
    description: 'What remains of them: `"<name>";r=<requests>;t=<seconds until the window ends>`.',
    schema: { type: 'string' },
  },
} as const;

const PROBLEM = 'application/problem+json';

type PathItem = OpenAPIObject['paths'][string];
type Responses = NonNullable<PathItem['get']>['responses'];

const FILE = new URL('../../../openapi.json', import.meta.url);

/** `npm run openapi`: writes openapi.json from the code, or with `--check` fails when it is not current. */
await runCommand(async () => {
  const text = `${JSON.stringify(await makeDocument(), null, 2)}\n`;
  if (process.argv.includes('--write')) {
    writeFileSync(FILE, text);
  } else if (readFileSync(FILE, 'utf8') !== text) {
    throw new Error('openapi.json is not what the code says: run npm run openapi');
  }
});

async function makeDocument() {
  const config: ServiceConfig = {
    ...readConfig({ LOG_LEVEL: 'silent' }),
    HOST: '',
    DATABASE_URL: '',
    ORDO_SECRET: '',
  };
  const app = await NestFactory.create(AppModule.with(config), { preview: true, logger: false });
  const document = SwaggerModule.createDocument(
    app,
    new DocumentBuilder()
      .setOpenAPIVersion('3.1.0')
      .setTitle('Ordo')
      .setDescription(DESCRIPTION)
      .setVersion('1')
      .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
      .addServer('/', 'This server')
      .addBearerAuth({ type: 'http', bearerFormat: 'JWT', description: 'Of /v1/auth/login' }, ACCESS_TOKEN)
      .addBearerAuth(
        { type: 'http', bearerFormat: 'ordo_<id>_<secret>', description: 'Of /v1/api-keys' },
        API_KEY,
      )
      .addTag('Auth', 'Signing in. Permissions name roles for access tokens and a scope for API keys.')
      .addTag('API keys', 'For machines: scopes in place of a role.')
      .addTag('Users')
      .addTag('Orders', 'Amounts are integers in minor units of the currency, rates parts per million.')
      .addTag('Audit', 'Every change has its event, committed together with it.')
      .addTag('Health', 'For probes.')
      .build(),
    { operationIdFactory: (controller, method) => `${controller.replace('Controller', '')}_${method}` },
  );
  await app.close();
  documentCommonHeaders(document);
  shareProblems(document);
  return document;
}

/** Every answer, also one that a library documents, carries the id of its request, and tells of limits where there are any. */
function documentCommonHeaders(document: OpenAPIObject): void {
  document.components = { ...document.components, headers: HEADERS, examples: problemExamples() };
  for (const [path, item] of Object.entries(document.paths)) {
    const names = path.startsWith('/health/') ? ['X-Request-Id'] : Object.keys(HEADERS);
    const common = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
    for (const responses of responsesOf(item)) {
      for (const response of Object.values(responses)) {
        if (response !== undefined && !('$ref' in response)) {
          response.headers = { ...common, ...response.headers };
        }
      }
    }
  }
}

/** Failures are the same in many operations: written once, they make the document a third as long, and the page fast. */
function shareProblems(document: OpenAPIObject): void {
  const shared: NonNullable<OpenAPIObject['components']>['responses'] = {};
  for (const responses of Object.values(document.paths).flatMap(responsesOf)) {
    for (const [status, response] of Object.entries(responses)) {
      const codes = response !== undefined && 'content' in response && response.content[PROBLEM]?.examples;
      if (!codes) continue;
      const name = [status, ...Object.keys(codes)].join('.');
      shared[name] = response;
      responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  document.components = { ...document.components, responses: shared };
}

function responsesOf(item: PathItem): Responses[] {
  const operations = [item.get, item.post, item.patch, item.delete];
  return operations.flatMap((operation) => (operation === undefined ? [] : [operation.responses]));
}
