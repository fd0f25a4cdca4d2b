import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { type ProblemCode, problemKinds } from '../problems/catalogue.js';
import { Public } from './access.js';
import { notFound } from '../problems/problem.js';

/** The pages that `type` of a problem points to. */
@ApiExcludeController()
@Public()
@Controller('problems')
export class ProblemsController {
  @Get(':code')
  @Header('Content-Type', 'text/html; charset=utf-8')
  show(@Param('code') code: string): string {
    if (!isCode(code)) throw notFound();
    const { status, title, meaning } = problemKinds[code];
    return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }</style>
<h1>${title}</h1>
<p><code>${code}</code>, HTTP status ${status}</p>
<p>${meaning.replace(/`([^`]*)`/g, '<code>$1</code>')}</p>
<p><a href="/docs">API documentation</a></p>
</html>
`;
  }
}

function isCode(code: string): code is ProblemCode {
  return Object.hasOwn(problemKinds, code);
}
