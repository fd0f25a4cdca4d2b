import { readFileSync } from 'node:fs';
import type { OpenAPIObject } from '@nestjs/swagger';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

/**
 * The contract as it is committed: `openapi.json` at the root of the package. It is made from the code by
 * `npm run openapi`, and `npm run check` fails when the two differ; so the running service need not make it again.
 */
export const openApiDocument = JSON.parse(readFileSync(locate('openapi.json'), 'utf8')) as OpenAPIObject;

/** Pages for people, which the contract of the API does not tell of. */
const pages = { pattern: /^\/(docs|docs-json|problems\/[^/]+)?\/?$/, types: [], methods: ['GET', 'HEAD'] };

const routes = Object.entries(openApiDocument.paths).map(([path, item]) => ({
  // The place of a tile has slashes of its own.
  pattern: new RegExp(`^${path.replace('{place}', '.+').replace(/\{\w+\}/g, '[^/]+')}/?$`),
  types: METHODS.flatMap((method) => answerTypesOf(item[method])),
  methods: METHODS.filter((method) => item[method] !== undefined).flatMap((method) =>
    method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
  ),
}));
routes.push(pages);

/** The methods that there are at a path (`/v1/orders/...`), none when the path is unknown. */
export function allowedMethods(path: string): string[] {
  return [...new Set(routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))];
}

/** The media types of all answers that there are at a path, those of failures among them. */
export function answerTypes(path: string): string[] {
  return routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ types }) => types);
}

function answerTypesOf(operation: OpenAPIObject['paths'][string]['get']): string[] {
  return Object.values(operation?.responses ?? {}).flatMap((answer) =>
    answer !== undefined && 'content' in answer ? Object.keys(answer.content ?? {}) : [],
  );
}

/** A file of the package's root, seen from `src/http` or `dist/src/http`. */
function locate(file: string): URL {
  const up = import.meta.url.includes('/dist/src/http/') ? '../../../' : '../../';
  return new URL(up + file, import.meta.url);
}
