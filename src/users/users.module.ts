import { Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuditModule } from '../audit/audit.module.js';
import { SubjectChecks } from '../audit/integrity/subject-check.js';
import { UserChanges } from './user-changes.js';
import { User } from './user.entity.js';
import { userCheck } from './user.integrity.js';
import { PasswordHasher } from './password-hasher.js';
import { Passwords } from './passwords.js';
import { UsersController } from './users.controller.js';
import { UsersService } from './users.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([User]), AuditModule],
  controllers: [UsersController],
  providers: [PasswordHasher, Passwords, UserChanges, UsersService],
  exports: [PasswordHasher, Passwords, UserChanges, UsersService],
})
export class UsersModule implements OnModuleInit {
  constructor(private readonly checks: SubjectChecks) {}

  onModuleInit(): void {
    this.checks.register(userCheck);
  }
}
