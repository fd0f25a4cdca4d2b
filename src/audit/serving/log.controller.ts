import {
  Controller,
  createParamDecorator,
  type ExecutionContext,
  Get,
  Param,
  Query,
  StreamableFile,
} from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import { Public, Requires } from '../../http/access.js';
import { Operation } from '../../http/operation.js';
import { Reply } from '../../http/reply.js';
import { notFound } from '../../problems/problem.js';
import { type Bundle, parseLevel, parsePlace } from '../log/tiles.js';
import { ConsistencyQuery, ConsistencyResponse } from './log.dto.js';
import { PublishedLog } from './published-log.js';

const PLAIN = { 'Content-Type': 'text/plain; charset=utf-8' };
/** What the tree has at a place never changes. */
const FOR_EVER = 'max-age=31536000, immutable';

const PlaceParameter = () =>
  ApiParam({
    name: 'place',
    description:
      'Number of the tile in elements of three digits, all but the last behind an `x`: `067`, `x001/x234/067`. Behind ' +
      'it `.p/<width>` (1 to 255) asks for the first hashes or entries of a tile. The slashes are sent as they are.',
    schema: { type: 'string', example: '000.p/1' },
  });

/** What the path ends in. Its elements are decoded: one that had a slash encoded within it makes another path. */
const Place = createParamDecorator((_: unknown, context: ExecutionContext): Bundle => {
  const elements = [context.switchToHttp().getRequest<Request>().params.place ?? ''].flat();
  const bundle = elements.some((element) => element.includes('/'))
    ? undefined
    : parsePlace(elements.join('/'));
  if (bundle === undefined) throw notFound();
  return bundle;
});

/** The log in the form of c2sp.org/tlog-tiles, whose clients find everything below `/v1/audit/log`. */
@ApiTags('Audit log')
@Controller('v1/audit/log')
@Public()
export class LogController {
  constructor(private readonly log: PublishedLog) {}

  @Get('checkpoint')
  @Operation({
    summary: 'The newest checkpoint: name, number of leaves and root of the log, signed',
    description: 'A signed note (c2sp.org/tlog-checkpoint). A new one is published at most once a second.',
    media: ['text/plain'],
    problems: ['not-found'],
  })
  async checkpoint(): Promise<Reply<string>> {
    const { note } = await this.log.checkpoint();
    return new Reply(note, { headers: PLAIN, shared: 'public, max-age=1' });
  }

  @Get('key')
  @Operation({
    summary: 'The verifier keys of the checkpoints, one a line',
    description:
      'Two while one takes over from the other (c2sp.org/signed-note). Keep what you were given: a log that is not ' +
      'honest would show another key with its other tree.',
    media: ['text/plain'],
  })
  key(): Reply<string> {
    return new Reply(this.log.verifierKeys(), { headers: PLAIN, shared: 'public, max-age=300' });
  }

  @Get('consistency')
  @Operation({
    summary: 'The proof that a larger tree continues a smaller one',
    description:
      'RFC 9162, section 2.1.4. Not found when no checkpoint covers `second` leaves; tiles give the same.',
    answer: ConsistencyResponse,
    media: [],
    query: true,
    problems: ['not-found'],
  })
  async consistency(@Query() { first, second }: ConsistencyQuery): Promise<Reply<ConsistencyResponse>> {
    const hashes = await this.log.consistency(first, second);
    const body = { first, second, hashes: hashes.map((hash) => hash.toString('base64')) };
    return new Reply(body, { shared: `public, ${FOR_EVER}` });
  }

  // Before the tiles, whose path would take it.
  @Get('tile/entries/*place')
  @Requires('audit:read')
  @PlaceParameter()
  @Operation({
    summary: 'The entries of 256 leaves, or of the first of them',
    description:
      'Each entry behind its length (two bytes, the most significant first). An event that is missing in the database ' +
      'leaves an empty entry.',
    media: ['application/octet-stream'],
    problems: ['not-found'],
  })
  async entries(@Place() place: Bundle): Promise<Reply<StreamableFile>> {
    const bytes = await this.log.bundle(place);
    return new Reply(file(bytes), { headers: { 'Cache-Control': `private, ${FOR_EVER}` } });
  }

  @Get('tile/:level/*place')
  @ApiParam({
    name: 'level',
    description: '0: the hashes of leaves; each further level: the roots of full tiles of the one below.',
    schema: { type: 'integer', minimum: 0, maximum: 63, example: 0 },
  })
  @PlaceParameter()
  @Operation({
    summary: 'A tile: 256 hashes of the tree, or the first of them',
    description: 'Not found beyond what the newest checkpoint covers. Any width up to that is answered.',
    media: ['application/octet-stream'],
    problems: ['not-found'],
  })
  async tile(@Param('level') level: string, @Place() place: Bundle): Promise<Reply<StreamableFile>> {
    const parsed = parseLevel(level);
    if (parsed === undefined) throw notFound();
    const bytes = await this.log.tile({ level: parsed, ...place });
    // Hashes do not get smaller.
    return new Reply(file(bytes), { shared: `public, ${FOR_EVER}, no-transform` });
  }
}

function file(bytes: Buffer): StreamableFile {
  return new StreamableFile(bytes, { type: 'application/octet-stream', length: bytes.length });
}
