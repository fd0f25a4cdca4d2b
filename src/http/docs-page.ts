import { randomUUID } from 'node:crypto';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { Request } from 'express';
import { EXAMPLE_EMAIL, EXAMPLE_IDS, EXAMPLE_KEY, OTHER_EXAMPLE_EMAIL } from './examples.js';
import { openApiDocument } from './openapi-document.js';

/** What Swagger UI hands to its interceptors, as far as they look at it. */
interface PageRequest {
  url: string;
  body?: unknown;
}
interface PageResponse {
  url: string;
  obj?: { id?: string; data?: { id?: string }[]; accessToken?: string };
}

type Page = typeof globalThis & {
  ui?: {
    getConfigs(): { exampleIds: Record<string, string> };
    preauthorizeApiKey(scheme: string, value: string): void;
  };
  lastIds?: Record<string, string>;
};

/** Serves Swagger UI at `/docs` and the contract at `/docs-json`. */
export function serveDocs(app: NestExpressApplication): void {
  SwaggerModule.setup('docs', app, openApiDocument, {
    jsonDocumentUrl: 'docs-json',
    raw: ['json'],
    customSiteTitle: 'Ordo API',
    // For the page alone: the contract at /docs-json stays as it is committed.
    patchDocumentOnRequest: (request, _response, document) =>
      (request as Request).path.endsWith('.js') ? withFreshExamples(document) : document,
    swaggerOptions: {
      displayRequestDuration: true,
      tryItOutEnabled: true,
      // Closed: whoever tries the API has the schemas at each operation.
      defaultModelsExpandDepth: 0,
      // Read by the two functions below, which run in the browser and see nothing of this file.
      exampleIds: EXAMPLE_IDS,
      requestInterceptor,
      responseInterceptor,
    },
  });
}

/** Each visit of the page gets keys and e-mail addresses that nobody has used before, and shows what it sends. */
function withFreshExamples(document: OpenAPIObject): OpenAPIObject {
  const fresh = randomUUID();
  const text = [EXAMPLE_EMAIL, OTHER_EXAMPLE_EMAIL].reduce(
    (filled, email) => filled.replaceAll(email, email.replace('@', `.${fresh.slice(0, 8)}@`)),
    // One for each operation: a key belongs to one request.
    JSON.stringify(document).replaceAll(EXAMPLE_KEY, () => randomUUID()),
  );
  return JSON.parse(text) as OpenAPIObject;
}

/* istanbul ignore next -- runs in the browser, from its own source text */
/** Puts the ids that the page has seen last where an example says "an id". */
function requestInterceptor(request: PageRequest): PageRequest {
  const page = globalThis as Page;
  const exampleIds = page.ui?.getConfigs().exampleIds ?? {};
  for (const [type, id] of Object.entries(page.lastIds ?? {})) {
    const example = exampleIds[type] ?? '';
    request.url = request.url.replace(example, id);
    if (typeof request.body === 'string') request.body = request.body.replace(example, id);
  }
  return request;
}

/* istanbul ignore next -- runs in the browser, from its own source text */
/** Remembers the id of the subject, or of the first one in a list, that an answer holds; and who signed in stays so. */
function responseInterceptor(response: PageResponse): PageResponse {
  const page = globalThis as Page;
  const type = /\/v1\/(users|orders|audit\/events|api-keys|auth\/sessions)(\/[^/]+)?(\?.*)?$/.exec(
    response.url,
  )?.[1];
  const id = response.obj?.id ?? response.obj?.data?.[0]?.id;
  if (type !== undefined && id !== undefined) page.lastIds = { ...page.lastIds, [type]: id };
  if (response.obj?.accessToken !== undefined) {
    page.ui?.preauthorizeApiKey('accessToken', response.obj.accessToken);
  }
  return response;
}
