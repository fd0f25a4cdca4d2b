import { Reflector } from '@nestjs/core';

/** Marks routes that cost much, such as those that hash a password: they have a limit of their own per address. */
export const Costly = Reflector.createDecorator<void, boolean>({ transform: () => true });

/** Marks routes without any limit, such as those for probes. */
export const Unlimited = Reflector.createDecorator<void, boolean>({ transform: () => true });
