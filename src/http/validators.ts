import { applyDecorators } from '@nestjs/common';
import { Transform, Type } from 'class-transformer';
import { buildMessage, isISO4217CurrencyCode, ValidateBy, ValidateIf, ValidateNested } from 'class-validator';

/** A string of `min` to `max` characters (code points, as PostgreSQL counts them). */
export function IsText(min: number, max: number): PropertyDecorator {
  return ValidateBy({
    name: 'isText',
    validator: {
      validate: (value: unknown) => isText(value, min, max),
      defaultMessage: buildMessage(
        (prefix) => `${prefix}$property must be a string of ${min} to ${max} characters`,
      ),
    },
  });
}

function isText(value: unknown, min: number, max: number): boolean {
  // A code point takes one or two UTF-16 units: most strings need no counting.
  if (typeof value !== 'string' || value.length > 2 * max) return false;
  if (value.length >= 2 * min && value.length <= max) return true;
  const length = [...value].length;
  return length >= min && length <= max;
}

/** A member that may be left out, but is not `null`: what `@IsOptional()` would let pass. */
export function IsPresent(): PropertyDecorator {
  return ValidateIf((_object: unknown, value: unknown) => value !== undefined);
}

/** An integer from `min` to `max`. */
export function IsInteger(min: number, max: number): PropertyDecorator {
  return ValidateBy({
    name: 'isInteger',
    validator: {
      validate: (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
      defaultMessage: buildMessage((prefix) => `${prefix}$property must be an integer from ${min} to ${max}`),
    },
  });
}

/** A currency code of ISO 4217 in capitals. */
export function IsCurrency(): PropertyDecorator {
  return ValidateBy({
    name: 'isCurrency',
    validator: {
      validate: (value: unknown) =>
        typeof value === 'string' && /^[A-Z]{3}$/.test(value) && isISO4217CurrencyCode(value),
      defaultMessage: buildMessage(
        (prefix) => `${prefix}$property must be a currency code of ISO 4217 such as EUR`,
      ),
    },
  });
}

/** A query parameter that is an integer in decimal digits from `min` to `max`. */
export function IsIntegerParameter(min: number, max: number): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      typeof value === 'string' ? (/^\d{1,16}$/.test(value) ? Number(value) : NaN) : value,
    ),
    IsInteger(min, max),
  );
}

/** RFC 3339 with a time and an offset that PostgreSQL takes, which is less than 16 hours. */
const INSTANT =
  /^\d{4}-\d{2}-\d{2}[Tt]([01]\d|2[0-3]):\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-](0\d|1[0-5]):[0-5]\d)$/;
const FIRST_INSTANT = Date.parse('0001-01-01T00:00:00Z');
const LAST_INSTANT = Date.parse('9999-12-31T23:59:59.999Z');

/** An instant in RFC 3339 with its offset, in the years 1 to 9999 UTC. */
export function IsInstant(): PropertyDecorator {
  return ValidateBy({
    name: 'isInstant',
    validator: {
      validate: isInstant,
      defaultMessage: buildMessage(
        (prefix) => `${prefix}$property must be a time such as 2026-01-31T12:00:00Z`,
      ),
    },
  });
}

function isInstant(value: unknown): boolean {
  if (typeof value !== 'string' || !INSTANT.test(value)) return false;
  const time = Date.parse(value.toUpperCase());
  if (!(time >= FIRST_INSTANT && time <= LAST_INSTANT)) return false;
  // Date.parse rolls 30 February over into March; the day of the month tells.
  const midnight = new Date(`${value.slice(0, 10)}T00:00:00Z`);
  return midnight.getUTCDate() === Number(value.slice(8, 10));
}

const METADATA_MEMBERS = 50;

/** A flat object of texts: at most 50 members, names of 1 to 100 characters, values of up to 500; a patch also holds nulls. */
export function IsMetadata({ patch = false } = {}): PropertyDecorator {
  return ValidateBy({
    name: 'isMetadata',
    validator: {
      validate: (value: unknown) => isMetadata(value, patch),
      defaultMessage: buildMessage(
        (prefix) =>
          `${prefix}$property must be an object of at most ${METADATA_MEMBERS} strings of up to 500 characters`,
      ),
    },
  });
}

/** Whether the value is metadata as `IsMetadata` describes it. */
export function isMetadata(value: unknown, patch = false): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const members = Object.entries(value);
  return (
    (patch || members.length <= METADATA_MEMBERS) &&
    members.every(
      ([name, text]) => isText(name, 1, 100) && (isText(text, 0, 500) || (patch && text === null)),
    )
  );
}

/** The rule of a list by its name, which is also its code; its constraint is the class of the elements. */
export const LIST_RULE = 'isObjects';

/** An array of `min` to `max` objects, which satisfy the rules of the class `type`. */
export function IsListOf(type: new () => object, min: number, max: number): PropertyDecorator {
  const rule = ValidateBy({
    name: LIST_RULE,
    constraints: [type],
    validator: {
      validate: (value: unknown) =>
        Array.isArray(value) &&
        value.length >= min &&
        value.length <= max &&
        value.every((element) => typeof element === 'object' && element !== null && !Array.isArray(element)),
      defaultMessage: buildMessage(
        (prefix) => `${prefix}$property must be an array of ${min} to ${max} objects`,
      ),
    },
  });
  return applyDecorators(
    rule,
    ValidateNested({ each: true }),
    Type(() => type),
  );
}
