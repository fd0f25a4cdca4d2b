import { Module, type OnModuleInit } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuditModule } from '../audit/audit.module.js';
import { SubjectChecks } from '../audit/integrity/subject-check.js';
import { UsersModule } from '../users/users.module.js';
import { AccessTokens } from './access-tokens.js';
import { ApiKey, ApiKeyUse } from './api-keys/api-key.entity.js';
import { apiKeyCheck } from './api-keys/api-key.integrity.js';
import { ApiKeysController } from './api-keys/api-keys.controller.js';
import { ApiKeys } from './api-keys/api-keys.service.js';
import { LastUses } from './api-keys/last-uses.js';
import { AuthController } from './auth.controller.js';
import { Authenticator } from './authenticator.js';
import { DenyByDefault } from './deny-by-default.js';
import { FirstAdmin } from './first-admin.js';
import { KeySetController } from './key-set.controller.js';
import { PasswordChange } from './password-change.js';
import { SecurityEvents } from './security-events.js';
import { SessionsController } from './sessions.controller.js';
import { SessionPurge } from './session-purge.js';
import { Sessions } from './sessions.js';
import { SignIn } from './sign-in.js';
import { VerifiedTokens } from './verified-tokens.js';

/** Who is calling, and may they. */
@Module({
  imports: [DiscoveryModule, TypeOrmModule.forFeature([ApiKey, ApiKeyUse]), AuditModule, UsersModule],
  controllers: [AuthController, SessionsController, ApiKeysController, KeySetController],
  providers: [
    AccessTokens,
    ApiKeys,
    Authenticator,
    DenyByDefault,
    FirstAdmin,
    LastUses,
    PasswordChange,
    SecurityEvents,
    SessionPurge,
    Sessions,
    SignIn,
    VerifiedTokens,
  ],
  exports: [Authenticator, SecurityEvents, FirstAdmin, VerifiedTokens],
})
export class AuthModule implements OnModuleInit {
  constructor(private readonly checks: SubjectChecks) {}

  onModuleInit(): void {
    this.checks.register(apiKeyCheck);
  }
}
