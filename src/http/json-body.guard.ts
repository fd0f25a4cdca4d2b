import { isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import express from 'express';
import { pointerToken } from '../problems/pointer.js';
import { type Fault, invalid, Problem } from '../problems/problem.js';
import { answerTypes } from './openapi-document.js';
import { Overload } from './overload.js';
import { isReserved } from './reserved-names.js';

const BODY_LIMIT = '1mb';
const MAX_DEPTH = 32;
/** Above what any route takes; class-transformer's time grows with the square of the members. */
const MAX_MEMBERS = 200;
const MAX_ELEMENTS = 1_000;

/**
 * Reads the JSON body of a matched route, so that an unknown path or method is answered as such before anything is
 * parsed. Refuses other media types and charsets (415), callers who do not accept JSON (406), more than 1 MB (413),
 * what is not UTF-8 or JSON (400), and text and numbers that cannot be held (422). What is here as a whole takes its place
 * among those under way (503). A guard, as Express would look for a middleware of each route before it looks for the route.
 */
@Injectable()
export class JsonBodyGuard implements CanActivate {
  private readonly read = promisify(express.raw({ type: () => true, limit: BODY_LIMIT }));

  constructor(private readonly overload: Overload) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const hasBody = takesBody(request) && carriesBody(request);
    if (hasBody) requireJson(request);
    requireAcceptance(request);
    if (hasBody) return this.parseBody(request, response);
    this.overload.enter(request, response);
    return true;
  }

  private async parseBody(request: Request, response: Response): Promise<boolean> {
    await this.read(request, response);
    this.overload.enter(request, response);
    request.body = parse(request.body);
    return true;
  }
}

/** Throws when the caller accepts nothing that a route of the API answers; probes and pages are for everybody. */
function requireAcceptance(request: Request): void {
  if (request.accepts(['application/json', 'application/problem+json'])) return;
  if (!request.path.toLowerCase().startsWith('/v1/')) return;
  const types = answerTypes(request.path);
  if (!types.some((type) => request.accepts(type))) {
    throw new Problem('not-acceptable', `The answers are ${[...new Set(types)].join(', ')}.`);
  }
}

/** Whether a body is to be read. That of a GET means nothing (RFC 9110, section 9.3.1): it is left unread. */
function takesBody(request: Request): boolean {
  return request.method !== 'GET' && request.method !== 'HEAD';
}

function carriesBody(request: Request): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.get('content-length')) > 0;
}

function requireJson(request: Request): void {
  const [type, ...parameters] = (request.get('content-type') ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase());
  const isJson =
    type === 'application/json' || (type === 'application/merge-patch+json' && request.method === 'PATCH');
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  if (!isJson || (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset))) {
    throw new Problem(
      'unsupported-media-type',
      'The body must be application/json in UTF-8 (for PATCH also application/merge-patch+json).',
      {
        headers: { Accept: 'application/json' },
      },
    );
  }
}

function parse(bytes: unknown): unknown {
  if (!Buffer.isBuffer(bytes) || bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw new Problem('malformed-request', 'The body is not UTF-8.');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new Problem('malformed-request', 'The body is not JSON.');
  }
  const faults: Fault[] = [];
  inspect(value, [], faults);
  if (faults.length > 0) throw invalid(faults);
  return value;
}

/** Collects every string, number and name that cannot be held, before any library walks the value; `path` leads to it. */
function inspect(value: unknown, path: string[], faults: Fault[]): void {
  const report = (code: string, detail: string) => faults.push({ pointer: pointerOf(path), code, detail });
  if (typeof value === 'string') {
    if (!isStorable(value)) report('invalid-text', 'holds NUL or half of a surrogate pair');
    return;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    report('invalid-number', 'is too large for a number');
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  if (path.length === MAX_DEPTH) {
    throw new Problem('malformed-request', `The body is nested more than ${MAX_DEPTH} levels deep.`);
  }
  const members = value as Record<string, unknown>;
  const names = Object.keys(members);
  if (names.length > (Array.isArray(value) ? MAX_ELEMENTS : MAX_MEMBERS)) {
    report('too-many-members', 'has more members than anything here takes');
    return;
  }
  for (const name of names) {
    if (!isStorable(name)) {
      report('invalid-text', 'a name holds NUL or half of a surrogate pair');
      continue;
    }
    path.push(name);
    if (isReserved(name)) report('unknown-member', 'this name is reserved');
    else inspect(members[name], path, faults);
    path.pop();
  }
}

function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

function pointerOf(path: readonly string[]): string {
  return path.map((name) => `/${pointerToken(name)}`).join('');
}
