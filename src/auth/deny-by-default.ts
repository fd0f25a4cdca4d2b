import { Injectable, type OnModuleInit, type Type } from '@nestjs/common';
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core';
import { PATH_METADATA } from '@nestjs/common/constants.js';
import { StartupError } from '../config/startup-error.js';
import { declaredAccess } from '../http/access.js';

/** Deny by default: the service does not start with a route that declares neither a permission nor `@Public()`. */
@Injectable()
export class DenyByDefault implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly reflector: Reflector,
  ) {}

  onModuleInit(): void {
    const undeclared = this.discovery.getControllers().flatMap(({ metatype }) => {
      if (typeof metatype !== 'function') return [];
      const prototype = metatype.prototype as Record<string, unknown>;
      return this.scanner
        .getAllMethodNames(prototype)
        .filter((name) => this.isUndeclaredRoute(prototype[name], metatype as Type))
        .map((name) => `${metatype.name}.${name}`);
    });
    if (undeclared.length > 0) {
      throw new StartupError(`Routes without @Requires(...) or @Public(): ${undeclared.join(', ')}`);
    }
  }

  private isUndeclaredRoute(handler: unknown, controller: Type): boolean {
    if (typeof handler !== 'function' || !Reflect.hasMetadata(PATH_METADATA, handler)) return false;
    return declaredAccess(this.reflector, handler, controller) === undefined;
  }
}
