import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validate, type ValidationError } from 'class-validator';
import { pointerToken } from '../problems/pointer.js';
import { type Fault, invalid, Problem } from '../problems/problem.js';
import { readerOf } from './compiled-contract.js';
import { isReserved } from './reserved-names.js';

const bodiesThatMayBeAbsent = new WeakSet<object>();

/** Marks the class of a body all members of which may be left out: no body then counts as an empty object. */
export function OptionalBody(): ClassDecorator {
  return (target) => {
    bodiesThatMayBeAbsent.add(target);
  };
}

/**
 * Checks bodies and queries against their DTO classes and returns instances of them. Throws every fault at once: 422
 * with pointers for a body, 400 with parameters for a query.
 */
@Injectable()
export class ContractPipe implements PipeTransform {
  transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
    if (metatype === undefined || (type !== 'body' && type !== 'query')) return value;
    if (type === 'query') inspectQuery(value as Record<string, unknown>);
    const given = type === 'body' ? objectOf(value, bodiesThatMayBeAbsent.has(metatype)) : (value as object);
    const contract = metatype as new () => object;
    return readerOf(contract)?.(given) ?? this.check(given, contract, type);
  }

  private async check(given: object, contract: new () => object, type: 'body' | 'query'): Promise<object> {
    const instance = plainToInstance(contract, given, { exposeDefaultValues: true });
    const errors = await validate(instance, {
      whitelist: true,
      forbidNonWhitelisted: true,
      // A class without members, such as the body of a command, has no rules of its own.
      forbidUnknownValues: false,
      stopAtFirstError: true,
      validationError: { target: false },
    });
    if (errors.length > 0) throw type === 'query' ? invalidQuery(errors) : invalid(faultsOf(errors, ''));
    return instance;
  }
}

function objectOf(body: unknown, mayBeAbsent: boolean): object {
  if (body === undefined && mayBeAbsent) return {};
  if (body === undefined) throw new Problem('malformed-request', 'A JSON body is required.');
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid([{ pointer: '', code: 'is-object', detail: 'The body must be a JSON object.' }]);
  }
  return body;
}

/** Refuses what the libraries behind would let pass: reserved names, repetitions, text that cannot be stored. */
function inspectQuery(query: Readonly<Record<string, unknown>>): void {
  const reserved = Object.keys(query).filter(isReserved);
  if (reserved.length > 0) throw unknownParameters(reserved);
  const faults = Object.entries(query).flatMap(([parameter, value]): Fault[] => {
    if (typeof value !== 'string')
      return [{ parameter, code: 'repeated', detail: `${parameter} is given twice` }];
    // Bytes that are not UTF-8 arrive as U+FFFD.
    if (/[\0\ufffd]/.test(value))
      return [{ parameter, code: 'invalid-text', detail: `${parameter} holds NUL or what is not UTF-8` }];
    return [];
  });
  if (faults.length > 0) throw badParameters('invalid-parameter', faults);
}

function invalidQuery(errors: readonly ValidationError[]): Problem {
  const faults = errors.map((error): Fault => {
    const [code, detail] = firstConstraint(error);
    return { parameter: error.property, code, detail };
  });
  const unknown = faults.filter((fault) => fault.code === 'unknown-member');
  if (unknown.length === 0) return badParameters('invalid-parameter', faults);
  return unknownParameters(unknown.map((fault) => fault.parameter ?? ''));
}

/** 400 for query parameters that a route does not take. */
export function unknownParameters(names: readonly string[]): Problem {
  return badParameters(
    'unknown-parameter',
    names.map((parameter) => ({
      parameter,
      code: 'unknown-parameter',
      detail: `${parameter} is not a parameter of this route`,
    })),
  );
}

function badParameters(code: 'invalid-parameter' | 'unknown-parameter', errors: readonly Fault[]): Problem {
  return new Problem(code, errors.map((error) => error.detail).join('; '), { errors });
}

function faultsOf(errors: readonly ValidationError[], parent: string): Fault[] {
  return errors.flatMap((error) => {
    const pointer = `${parent}/${pointerToken(error.property)}`;
    const nested = faultsOf(error.children ?? [], pointer);
    if (error.constraints === undefined) return nested;
    const [code, detail] = firstConstraint(error);
    return [{ pointer, code, detail }, ...nested];
  });
}

/** The stable code and the sentence of the rule that was broken: `isText` becomes `is-text`. */
function firstConstraint(error: ValidationError): [string, string] {
  const [name, detail] = Object.entries(error.constraints ?? {})[0] ?? [
    'invalid',
    `${error.property} is invalid`,
  ];
  if (error.value === undefined) return ['required', `${error.property} is required`];
  if (name === 'whitelistValidation')
    return ['unknown-member', `${error.property} is not a member of this object`];
  return [name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`), detail];
}
