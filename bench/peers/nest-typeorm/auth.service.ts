import { Inject, Injectable, UnauthorizedException } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { verify } from '@node-rs/argon2';
import { SignJWT } from 'jose';
import { DataSource, Repository } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { auditEvent, newRefreshToken } from '../rules/audit.js';
import { AUDIENCE, ISSUER, TOKEN_SECONDS, TOKEN_TYPE } from '../rules/environment.js';
import { AuditEvent, Session, User } from './entities.js';
import { ENVIRONMENT, type Environment } from './request.js';

const SESSION_MS = 30 * 86_400_000;

@Injectable()
export class AuthService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(User) private readonly users: Repository<User>,
    @Inject(ENVIRONMENT) private readonly environment: Environment,
  ) {}

  async signIn(email: string, password: string, requestId: string) {
    const user = await this.users
      .createQueryBuilder('user')
      .innerJoinAndSelect('user.password', 'password')
      .where('lower(user.email) = lower(:email)', { email })
      .getOne();
    const isRight = user?.password !== undefined && (await verify(user.password.hash, password));
    if (!isRight || user.status !== 'active') throw new UnauthorizedException();

    const sessionId = uuidv7();
    const { refreshToken, hash } = newRefreshToken();
    await this.dataSource.transaction(async (manager) => {
      const expiresAt = new Date(Date.now() + SESSION_MS);
      await manager.insert(Session, { id: sessionId, userId: user.id, refreshHash: hash, expiresAt });
      const subject = { subjectType: 'user', subjectId: user.id, actorId: user.id };
      await manager.insert(AuditEvent, auditEvent({ action: 'user.signed-in', ...subject, requestId }));
    });
    const accessToken = await new SignJWT({ sid: sessionId, role: user.role })
      .setProtectedHeader({ alg: 'EdDSA', typ: TOKEN_TYPE })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(user.id)
      .setIssuedAt()
      .setExpirationTime(`${TOKEN_SECONDS} s`)
      .sign(this.environment.privateKey);
    return { accessToken, tokenType: 'Bearer', expiresIn: TOKEN_SECONDS, refreshToken };
  }
}
