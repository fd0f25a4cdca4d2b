import { Controller, Get, Header } from '@nestjs/common';
import { ApiProperty, ApiTags } from '@nestjs/swagger';
import type { JWK } from 'jose';
import { Public } from '../http/access.js';
import { Operation } from '../http/operation.js';
import { AccessTokens } from './access-tokens.js';

class KeySetResponse {
  /** Public keys as JWK (RFC 7517, RFC 8037). */
  @ApiProperty({ type: 'array', items: { type: 'object', additionalProperties: { type: 'string' } } })
  keys: JWK[];
}

@ApiTags('Auth')
@Controller('.well-known/jwks.json')
export class KeySetController {
  constructor(private readonly tokens: AccessTokens) {}

  @Get()
  @Public()
  @Header('Cache-Control', 'public, max-age=300')
  @Operation({ summary: 'The keys that verify access tokens', answer: KeySetResponse })
  async keys(): Promise<KeySetResponse> {
    return this.tokens.publicKeys();
  }
}
