import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from '../app.module.js';
import { ACCESS_TOKEN, API_KEY, describeGrant } from '../http/access.js';
import { type ServiceConfig, readConfig } from '../config/config.js';
import { problemExamples } from '../http/problem-responses.js';
import { describeCommand, drawLifeCycle, type OrderCommand, transitions } from '../orders/life-cycle.js';
import { runCommand } from './run-command.js';

const DESCRIPTION = `Users, orders and an audit trail.

Failures are problems (RFC 9457): \`type\` leads to a page about the \`code\`. Send an \`Idempotency-Key\` and a retry is
safe. Every subject has a \`version\`, which is its ETag; PATCH requires it as \`If-Match\`. Lists are pages by cursor.

On the page of this document an id that is an example stands for the subject that the page has shown or made last.`;

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

const ROOT = new URL('../../../', import.meta.url);

const LIFE_CYCLE = `# The life of an order

Written by \`npm run openapi\` from the table in \`src/orders/life-cycle.ts\`.

\`\`\`mermaid
${drawLifeCycle()}
\`\`\`

${Object.keys(transitions)
  .map((command) => `- **${command}**: ${describeCommand(command as OrderCommand)}`)
  .join('\n')}

Payments and refunds are recorded in every status, fulfillments while an order is confirmed.
`;

/** `npm run openapi`: writes what is made from the code, or with `--check` fails when it is not current. */
await runCommand(async () => {
  const files = {
    'openapi.json': `${JSON.stringify(await makeDocument(), null, 2)}\n`,
    'docs/order-life-cycle.md': LIFE_CYCLE,
  };
  for (const [name, text] of Object.entries(files)) {
    const file = new URL(name, ROOT);
    if (process.argv.includes('--write')) {
      writeFileSync(file, text);
    } else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
      throw new Error(`${name} is not what the code says: run npm run openapi`);
    }
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
      .addBearerAuth(
        {
          type: 'http',
          bearerFormat: 'JWT',
          description: 'The accessToken that POST /v1/auth/login answers; with both given, this one is sent.',
        },
        ACCESS_TOKEN,
      )
      .addBearerAuth(
        {
          type: 'http',
          bearerFormat: 'ordo_<id>_<secret>',
          description: 'The key that POST /v1/api-keys answers.',
        },
        API_KEY,
      )
      .addTag('Auth', 'Signing in. Permissions name roles for access tokens and a scope for API keys.')
      .addTag('API keys', 'For machines: scopes in place of a role.')
      .addTag('Users')
      .addTag('Orders', 'Amounts are integers in minor units of the currency, rates parts per million.')
      .addTag('Audit', 'Every change has its event, committed together with it.')
      .addTag('Audit log', 'The Merkle tree over all events, for everybody (c2sp.org/tlog-tiles).')
      .addTag('Health', 'For probes.')
      .build(),
    { operationIdFactory: (controller, method) => `${controller.replace('Controller', '')}_${method}` },
  );
  await app.close();
  documentCommonHeaders(document);
  shareProblems(document);
  describeAccess(document);
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

/** Who may do it, in words: the page does not show the roles and scopes that `security` names. */
function describeAccess(document: OpenAPIObject): void {
  for (const item of Object.values(document.paths)) {
    for (const operation of [item.get, item.post, item.patch, item.delete]) {
      const { accessToken: names = [], apiKey: scopes } = Object.assign(
        {},
        ...(operation?.security ?? []),
      ) as Record<string, string[] | undefined>;
      if (operation === undefined || names.length === 0) continue;
      const access = describeGrant(names, scopes?.join(' '));
      operation.description = operation.description ? `${operation.description}\n\n${access}` : access;
    }
  }
}

/** Failures are the same in many operations: they are written once, or the page takes long to draw an operation. */
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
