import { applyDecorators } from '@nestjs/common';
import { IsEmail } from 'class-validator';
import { IsText } from '../http/validators.js';

/** Nobody has an address of this domain: `.invalid` leads nowhere (RFC 2606), and it is refused. */
const ERASED_DOMAIN = 'erased.invalid';

/** An e-mail address that somebody may have: 3 to 254 characters, and none that stands for an erased one. */
export function IsEmailAddress(): PropertyDecorator {
  return applyDecorators(
    IsEmail({ host_blacklist: [ERASED_DOMAIN] }, { message: '$property must be an e-mail address' }),
    IsText(3, 254),
  );
}

/** What an erased user has in place of name and address; the database knows the same. */
export function erasedPerson(id: string): { readonly name: string; readonly email: string } {
  return { name: 'Erased user', email: `${id}@${ERASED_DOMAIN}` };
}
