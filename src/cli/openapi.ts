import { readFileSync, writeFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from '../app.module.js';
import { type ServiceConfig, readConfig } from '../config/config.js';
import { runCommand } from './run-command.js';

const DESCRIPTION = `Users, orders and an audit trail.

Failures are problems (RFC 9457): \`type\` leads to a page about the \`code\`. Send an \`Idempotency-Key\` and a retry is
safe. Every subject has a \`version\`, which is its ETag; PATCH requires it as \`If-Match\`. Lists are pages by cursor.`;

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
      .addTag('Users')
      .addTag('Orders', 'Amounts are integers in minor units of the currency, rates parts per million.')
      .addTag('Audit', 'Every change has its event, committed together with it.')
      .addTag('Health', 'For probes.')
      .build(),
    { operationIdFactory: (controller, method) => `${controller.replace('Controller', '')}_${method}` },
  );
  await app.close();
  documentRequestId(document);
  return document;
}

/** Every answer, also one that a library documents, carries the id of its request. */
function documentRequestId(document: OpenAPIObject): void {
  const operations = Object.values(document.paths).flatMap((item) => [item.get, item.post, item.patch]);
  for (const response of operations.flatMap((operation) => Object.values(operation?.responses ?? {}))) {
    if (response === undefined || '$ref' in response) continue;
    response.headers = {
      'X-Request-Id': {
        description: 'Id of the request, a UUID; also in the log and in problem bodies.',
        required: true,
        schema: { type: 'string', format: 'uuid' },
      },
      ...response.headers,
    };
  }
}
