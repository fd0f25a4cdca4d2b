import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { ServiceConfig } from '../config/config.js';
import { deriveBytes, deriveSigningKey } from '../http/keys.js';
import { type Signer, type Verifier, verifierOf } from './log/note.js';

/** The name of the log and the keys that vouch for it: two while one takes over from the other. */
@Injectable()
export class LogIdentity {
  readonly origin: string;
  readonly signers: readonly Signer[];
  readonly verifiers: readonly Verifier[];

  constructor(config: ConfigService<ServiceConfig, true>) {
    const secret = config.get('ORDO_SECRET', { infer: true });
    const keys = config.get('AUDIT_SIGNING_KEY', { infer: true });
    const origin = config.get('AUDIT_ORIGIN', { infer: true });
    this.origin = origin ?? `localhost/ordo/${deriveBytes(secret, 'audit origin').toString('hex', 0, 4)}`;
    const given = keys ?? [deriveSigningKey(secret, 'audit signing key')];
    this.signers = given.map((key) => ({ name: this.origin, key }));
    this.verifiers = this.signers.map(verifierOf);
  }
}
