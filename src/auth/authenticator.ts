import { Injectable } from '@nestjs/common';
import { type Caller, unauthenticated } from '../http/access.js';
import { AccessTokens } from './access-tokens.js';
import { ApiKeys } from './api-keys/api-keys.service.js';
import { Sessions } from './sessions.js';
import { type Verified, VerifiedTokens } from './verified-tokens.js';

/** Finds out who is calling from the Authorization header: an access token of a user, or an API key. */
@Injectable()
export class Authenticator {
  constructor(
    private readonly accessTokens: AccessTokens,
    private readonly sessions: Sessions,
    private readonly apiKeys: ApiKeys,
    private readonly verified: VerifiedTokens,
  ) {}

  /** The caller; throws `unauthenticated` or `token-expired`. */
  async identify(authorization: string | undefined): Promise<Caller> {
    if (authorization === undefined) throw unauthenticated();
    const token = /^bearer +([\w.~+/-]+=*) *$/i.exec(authorization)?.[1];
    if (token === undefined) throw unauthenticated();
    return this.verified.caller(token, () =>
      token.startsWith('ordo_') ? this.verifyApiKey(token) : this.verifyAccessToken(token),
    );
  }

  private async verifyAccessToken(token: string): Promise<Verified> {
    const claims = await this.accessTokens.verify(token);
    if (!(await this.sessions.isAlive(claims))) {
      throw unauthenticated('The session is over: sign in again.', 'unauthenticated', true);
    }
    const { userId, sessionId, role, expiresAt } = claims;
    return { caller: { actor: { type: 'user', id: userId }, role, scopes: [], sessionId }, expiresAt };
  }

  private async verifyApiKey(token: string): Promise<Verified> {
    const verified = await this.apiKeys.authenticate(token);
    if (verified === undefined) throw unauthenticated('The API key is not valid.', 'unauthenticated', true);
    return verified;
  }
}
