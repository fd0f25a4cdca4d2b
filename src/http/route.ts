import type { Request } from 'express';

/** Stands for the pattern where no route matches. */
export const UNMATCHED = 'unmatched';

/** The pattern of the route that a request has found, as OpenAPI writes it. */
export function routeOf(request: Request): string {
  const route: unknown = request.route;
  if (typeof route === 'object' && route !== null && 'path' in route && typeof route.path === 'string') {
    // Of a request that went no further than a middleware the path ends in a slash.
    return route.path.replace(/[:*](\w+)/g, '{$1}').replace(/(.)\/$/, '$1');
  }
  return UNMATCHED;
}
