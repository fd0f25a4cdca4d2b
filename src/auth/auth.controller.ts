import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Origin } from '../database/event.js';
import {
  type Access,
  type Caller,
  CurrentAccess,
  forbidden,
  MaybeCaller,
  OptionallySignedIn,
  Public,
  Requires,
} from '../http/access.js';
import { EXAMPLE_EMAIL, EXAMPLE_IDS } from '../http/examples.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { Reply } from '../http/reply.js';
import { CallerAddress } from '../limits/caller-address.js';
import { Costly } from '../limits/decorators.js';
import { invalid, Problem } from '../problems/problem.js';
import { toResponse, UserResponse } from '../users/users.dto.js';
import { emailTaken, UsersService } from '../users/users.service.js';
import {
  IssueResetToken,
  Login,
  NewPassword,
  Refresh,
  Register,
  ResetTokenResponse,
  TokenResponse,
  tokenResponse,
} from './auth.dto.js';
import { FirstAdmin } from './first-admin.js';
import { PasswordChange } from './password-change.js';
import { Sessions } from './sessions.js';
import { SignIn } from './sign-in.js';

const EXAMPLE_PASSWORD = 'plenty of letters';

@ApiTags('Auth')
@Controller('v1/auth')
export class AuthController {
  constructor(
    private readonly users: UsersService,
    private readonly signIn: SignIn,
    private readonly sessions: Sessions,
    private readonly passwords: PasswordChange,
    private readonly firstAdmin: FirstAdmin,
  ) {}

  @Post('register')
  @Public()
  @Costly()
  @Operation({
    summary: 'Register as a customer',
    answer: UserResponse,
    creates: true,
    subject: true,
    body: {
      type: Register,
      example: { name: 'Ada Lovelace', email: EXAMPLE_EMAIL, password: EXAMPLE_PASSWORD },
    },
    problems: ['already-exists'],
  })
  async register(@Body() body: Register, @RequestOrigin() origin: Origin): Promise<Reply<UserResponse>> {
    if (this.firstAdmin.isReserved(body.email)) throw emailTaken();
    const { state } = await this.users.create(body, origin, undefined);
    return new Reply(toResponse(state), { location: `/v1/users/${state.id}` });
  }

  @Post('login')
  @HttpCode(200)
  @Public()
  @Costly()
  @Operation({
    summary: 'Sign in',
    description: 'This page then sends the access token with every request that needs one.',
    answer: TokenResponse,
    body: {
      type: Login,
      example: { email: 'admin@example.com', password: 'as the first start has printed it' },
    },
    problems: ['unauthenticated', 'too-many-attempts'],
  })
  async login(
    @Body() { email, password }: Login,
    @CallerAddress() address: string,
    @RequestOrigin() origin: Origin,
  ): Promise<TokenResponse> {
    return tokenResponse(await this.signIn.signIn(email, password, address, origin));
  }

  @Post('refresh')
  @HttpCode(200)
  @Public()
  @Operation({
    summary: 'Exchange a refresh token for new tokens',
    description:
      'The token before answers the same for 15 s more, until its successor is used; after that it ends the session, for ' +
      'it may be in other hands.',
    answer: TokenResponse,
    body: { type: Refresh, example: { refreshToken: 'as login or refresh has answered it' } },
    problems: ['unauthenticated', 'token-expired', 'refresh-reused'],
  })
  async refresh(@Body() { refreshToken }: Refresh, @RequestOrigin() origin: Origin): Promise<TokenResponse> {
    return tokenResponse(await this.sessions.refresh(refreshToken, origin));
  }

  @Post('logout')
  @HttpCode(204)
  @Requires('account')
  @Operation({ summary: 'End the session that the access token belongs to' })
  async logout(
    @CurrentAccess() { actor, sessionId }: Access,
    @RequestOrigin() origin: Origin,
  ): Promise<void> {
    if (sessionId !== null) await this.sessions.end(actor.id, sessionId, origin);
  }

  @Post('logout-all')
  @HttpCode(204)
  @Requires('account')
  @Operation({ summary: 'End all sessions of the caller' })
  async logoutAll(@CurrentAccess() { actor }: Access, @RequestOrigin() origin: Origin): Promise<void> {
    await this.sessions.endAll(actor.id, origin);
  }

  @Post('password')
  @HttpCode(204)
  @OptionallySignedIn()
  @Costly()
  @Operation({
    summary: 'Set a new password',
    description:
      'With `currentPassword` that of the caller, who sends an access token; with `resetToken` that of the user for ' +
      'whom an admin has issued it. All sessions of the user end.',
    body: {
      type: NewPassword,
      example: { resetToken: 'as an admin has handed it over', newPassword: EXAMPLE_PASSWORD },
    },
    problems: ['unauthenticated', 'token-expired', 'forbidden', 'too-many-attempts'],
  })
  async password(
    @Body() body: NewPassword,
    @MaybeCaller() caller: Caller | Problem,
    @CallerAddress() address: string,
    @RequestOrigin() origin: Origin,
  ): Promise<void> {
    const { currentPassword: current, resetToken, newPassword: wished } = body;
    if (resetToken !== undefined && current === undefined) {
      await this.passwords.reset(resetToken, wished, address, origin);
      return;
    }
    if (current === undefined || resetToken !== undefined) {
      throw invalid([{ pointer: '', code: 'one-of', detail: 'send either currentPassword or resetToken' }]);
    }
    if (caller instanceof Problem) throw caller;
    if (caller.role === null) throw forbidden('An API key has no password.');
    await this.passwords.change(caller.actor.id, { current, wished }, address, origin);
  }

  @Post('reset-tokens')
  @Requires('users:reset-password')
  @Operation({
    summary: 'Issue a token with which a user sets a new password',
    description: 'Valid once and for 24 hours, in place of an earlier one. It is shown this once.',
    answer: ResetTokenResponse,
    status: 201,
    body: { type: IssueResetToken, example: { userId: EXAMPLE_IDS.users } },
  })
  async issueResetToken(
    @Body() { userId }: IssueResetToken,
    @RequestOrigin() origin: Origin,
  ): Promise<ResetTokenResponse> {
    const { resetToken, expiresAt } = await this.passwords.issueResetToken(userId, origin);
    return { resetToken, expiresAt: expiresAt.toISOString() };
  }
}
