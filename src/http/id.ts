import { Injectable, Param, type PipeTransform } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { NIL, validate as isUuid } from 'uuid';
import { EXAMPLE_IDS } from './examples.js';

/**
 * Takes an id of the path in lower case. What cannot be an id becomes one that nobody has: it is then answered as any
 * absent one, and not before the body was checked.
 */
@Injectable()
class IdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    return isUuid(id) ? id.toLowerCase() : NIL;
  }
}

/** The `{id}` of the path, or another parameter that is an id. */
export const Id = (name = 'id') => Param(name, IdPipe);

/** Documents such a parameter. */
export const IdParameter = (of: keyof typeof EXAMPLE_IDS, name = 'id') =>
  ApiParam({ name, schema: { type: 'string', format: 'uuid', example: EXAMPLE_IDS[of] } });
