import { invalid } from '../problems/problem.js';

/** Characters, counted after normalisation. */
const PASSWORD_LENGTH = { min: 12, max: 128 } as const;

/** Loaded when first needed: about 50,000 passwords, most used first. */
let commonPasswords: Promise<ReadonlySet<string>> | undefined;

/** The one form in which a password is hashed and compared, however a keyboard composed it: NFKC (RFC 8265). */
export function normalizePassword(password: string): string {
  return password.normalize('NFKC');
}

/**
 * Takes a password that somebody wants to have, the address that they sign in with, and where it stands in the body;
 * throws `validation-failed` unless it has 12 to 128 characters and is not easily guessed.
 */
export async function requireGoodPassword(password: string, email: string, pointer: string): Promise<void> {
  const normalized = normalizePassword(password);
  const length = [...normalized].length;
  const { min, max } = PASSWORD_LENGTH;
  if (length < min || length > max) {
    throw invalid([{ pointer, code: 'length', detail: `a password has ${min} to ${max} characters` }]);
  }
  if (await isCommon(normalized, email)) {
    throw invalid([
      {
        pointer,
        code: 'common-password',
        detail: 'this password is too common or too like the e-mail address',
      },
    ]);
  }
}

/**
 * Whether a guesser would try the password early: it is a common one, or the e-mail address, also when it is repeated
 * or only has digits and signs around it.
 */
export async function isCommon(password: string, email: string): Promise<boolean> {
  const common = await (commonPasswords ??= loadCommonPasswords());
  const text = password.toLowerCase();
  const address = email.toLowerCase();
  const local = address.slice(0, address.lastIndexOf('@'));
  const own = new Set([address, local, coreOf(local)]);
  const easy = (candidate: string) => candidate !== '' && (common.has(candidate) || own.has(candidate));
  const forms = [text, coreOf(text)].flatMap((form) => [form, unitOf(form)]);
  return forms.some(easy) || unitOf(text).length <= 3 || counts(text);
}

/** The text without the digits and signs around it. */
function coreOf(text: string): string {
  return text.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, '');
}

/** The shortest part that the text is a repetition of. */
function unitOf(text: string): string {
  return text.slice(0, (text + text).indexOf(text, 1));
}

/** Whether each character follows its neighbour at the same small distance: 123456789012, abcdefghijkl. */
function counts(text: string): boolean {
  const steps = [...text].map((character, index) =>
    index === 0 ? NaN : character.charCodeAt(0) - text.charCodeAt(index - 1),
  );
  const distances = new Set(steps.slice(1).filter((step) => step !== -9 && step !== 9));
  return distances.size <= 1 && [...distances].every((step) => Math.abs(step) <= 2);
}

async function loadCommonPasswords(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  return new Set(dictionary['passwords-common']);
}
