import { Injectable, Param, type PipeTransform } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { validate as isUuid } from 'uuid';
import { EXAMPLE_IDS } from './examples.js';
import { notFound } from '../problems/problem.js';

/** Takes an id of the path in lower case; one that cannot exist is answered as one that does not. */
@Injectable()
class IdPipe implements PipeTransform<string, string> {
  transform(id: string): string {
    if (!isUuid(id)) throw notFound();
    return id.toLowerCase();
  }
}

/** The `{id}` of the path. */
export const Id = () => Param('id', IdPipe);

/** Documents the `{id}` of the path. */
export const IdParameter = (of: keyof typeof EXAMPLE_IDS) =>
  ApiParam({ name: 'id', schema: { type: 'string', format: 'uuid', example: EXAMPLE_IDS[of] } });
