import type { KeyObject } from 'node:crypto';
import { createParamDecorator, type ExecutionContext, Injectable, type PipeTransform } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Request } from 'express';
import type { ServiceConfig } from '../config/config.js';
import { canonicalText } from '../database/canonical.js';
import type { Actor } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { Problem } from '../problems/problem.js';
import { authenticate, deriveKey } from './keys.js';

interface KeyedRequest {
  readonly request: Request;
  readonly required: boolean;
}

/** Turns the Idempotency-Key header and the request it came with into what the write path remembers. */
@Injectable()
export class IdempotencyKeyPipe implements PipeTransform<KeyedRequest, IdempotentRequest | undefined> {
  private readonly key: KeyObject;

  constructor(config: ConfigService<ServiceConfig, true>) {
    this.key = deriveKey(config.get('ORDO_SECRET', { infer: true }), 'fingerprint');
  }

  transform({ request, required }: KeyedRequest): IdempotentRequest | undefined {
    const header = request.get('idempotency-key');
    if (header === undefined) {
      if (!required) return undefined;
      throw new Problem('idempotency-key-missing', 'This route needs an Idempotency-Key header.');
    }
    const key = parseKey(header);
    if (key === undefined) {
      throw new Problem('malformed-request', 'Idempotency-Key must be 1 to 255 printable ASCII characters.');
    }
    return this.requestOf(request.actor, key, {
      method: request.method,
      url: request.originalUrl,
      // Where a body may be left out, none says the same as an empty one.
      body: request.body ?? {},
    });
  }

  /** What the write path remembers of a request with this key; `url` is path and query. */
  requestOf(
    actor: Actor,
    key: string,
    { method, url, body }: { method: string; url: string; body: unknown },
  ): IdempotentRequest {
    // Keyed, for a plain hash of a body with a password in it would be a fast password hash.
    const fingerprint = authenticate(this.key, [method, url, canonicalText(body)]);
    return { scope: scopeOf(actor), key, fingerprint };
  }
}

/** A key bare, or quoted as a structured-field string: 1 to 255 printable ASCII characters, else undefined. */
export function parseKey(text: string): string | undefined {
  const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(text);
  const key = quoted?.[1]?.replace(/\\(["\\])/g, '$1') ?? text;
  return /^[\x20-\x7e]{1,255}$/.test(key) ? key : undefined;
}

function scopeOf(actor: Actor): string {
  return actor.id ?? actor.type;
}

const KeyedRequestOf = createParamDecorator((required: boolean, context: ExecutionContext): KeyedRequest => ({
  request: context.switchToHttp().getRequest<Request>(),
  required,
}));

/** The idempotency key of a POST that must have one. */
export const RequiredKey = () => KeyedRequestOf(true, IdempotencyKeyPipe);

/** The idempotency key of a POST that may have one. */
export const OptionalKey = () => KeyedRequestOf(false, IdempotencyKeyPipe);
