import { createPrivateKey, type KeyObject } from 'node:crypto';
import { resolve } from 'node:path';

/** One setting of the service: how README shows it and how its text is read. */
export interface Variable<T = unknown> {
  readonly description: string;
  /** As README shows it. */
  readonly default: string;
  readonly secret: boolean;
  /** Takes the variable's text, `undefined` where it is unset; throws `Error` that says what is accepted, never the value. */
  readonly read: (text: string | undefined) => T;
}

interface About<T> {
  description: string;
  /** How README shows the default, where the value alone would not tell. */
  shown?: string;
  default: T;
}

export function integer(min: number, max: number, about: About<number>): Variable<number> {
  return {
    description: about.description,
    default: about.shown ?? `\`${about.default}\``,
    secret: false,
    read(text) {
      if (text === undefined) return about.default;
      const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
      if (!(value >= min && value <= max)) throw new Error(`must be an integer from ${min} to ${max}`);
      return value;
    },
  };
}

export function oneOf<const T extends string>(accepted: readonly T[], about: About<T>): Variable<T> {
  return {
    description: about.description,
    default: `\`${about.default}\``,
    secret: false,
    read(text) {
      if (text === undefined) return about.default;
      const value = accepted.find((candidate) => candidate === text);
      if (value === undefined) throw new Error(`must be one of ${accepted.join(', ')}`);
      return value;
    },
  };
}

export function databaseUrl(about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      const url = URL.canParse(text) ? new URL(text) : undefined;
      if (url?.protocol !== 'postgresql:' && url?.protocol !== 'postgres:') {
        throw new Error('must look like postgresql://user:password@host:5432/database');
      }
      return text;
    },
  };
}

export function redisUrl(about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      const url = URL.canParse(text) ? new URL(text) : undefined;
      const isRedis = url?.protocol === 'redis:' || url?.protocol === 'rediss:';
      if (!isRedis || !/^(\/\d*)?$/.test(url.pathname)) {
        throw new Error('must look like redis://user:password@host:6379/0, or rediss:// for TLS');
      }
      return text;
    },
  };
}

export function secret(minLength: number, about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text !== undefined && text.length < minLength) {
        throw new Error(`must have at least ${minLength} characters`);
      }
      return text;
    },
  };
}

export function ed25519Keys(about: About<undefined>): Variable<readonly KeyObject[] | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      const blocks = text.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
      const keys = blocks.map(privateKey);
      if (keys.length < 1 || keys.length > 2 || keys.some((key) => key?.asymmetricKeyType !== 'ed25519')) {
        throw new Error(
          'must be one or two Ed25519 private keys in PEM (openssl genpkey -algorithm ed25519)',
        );
      }
      return keys.filter((key) => key !== undefined);
    },
  };
}

function privateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

/** As signed notes take it; how much a name may say is a matter of taste. */
export function logName(about: About<undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read(text) {
      if (text !== undefined && !/^[^\s\p{Cc}+]{1,255}$/u.test(text)) {
        throw new Error('must look like log.example/orders: up to 255 characters, no white space and no +');
      }
      return text;
    },
  };
}

/** Where checkpoints are kept outside of the database: a file, or an address that takes PUT and GET. */
export type SinkAddress = { readonly file: string } | { readonly url: URL };

export function checkpointSink(about: About<undefined>): Variable<SinkAddress | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: true,
    read(text) {
      if (text === undefined) return undefined;
      if (!/^[a-z][a-z0-9+.-]*:/i.test(text)) return { file: resolve(text) };
      const url = URL.canParse(text) ? new URL(text) : undefined;
      const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url?.hostname ?? '');
      if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && isLoopback)) {
        throw new Error('must be the path of a file or an https:// address (http:// to this machine only)');
      }
      return { url };
    },
  };
}

/** The base address of an OpenTelemetry collector. */
export function collector(about: About<undefined>): Variable<URL | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read(text) {
      if (text === undefined) return undefined;
      const url = URL.canParse(text) ? new URL(text) : undefined;
      const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
      if (!isHttp || url.href !== url.origin + url.pathname) {
        throw new Error('must look like http://collector:4318, without user, password and query');
      }
      return url;
    },
  };
}

export function share(about: About<number>): Variable<number> {
  return {
    description: about.description,
    default: about.shown ?? `\`${about.default}\``,
    secret: false,
    read(text) {
      if (text === undefined) return about.default;
      const value = /^\d{1,2}(\.\d{1,15})?$/.test(text) ? Number(text) : NaN;
      if (!(value >= 0 && value <= 1)) throw new Error('must be a number from 0 to 1');
      return value;
    },
  };
}

export function origins(about: About<readonly string[]>): Variable<readonly string[]> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read(text) {
      const list = (text ?? '').split(',').map((origin) => origin.trim());
      const given = list.filter((origin) => origin !== '');
      for (const origin of given) {
        if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
          throw new Error('must be origins as https://shop.example, separated by commas');
        }
      }
      return given;
    },
  };
}

export function text(about: About<string | undefined>): Variable<string | undefined> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read: (value) => value ?? about.default,
  };
}

export function email(about: About<string>): Variable<string> {
  return {
    description: about.description,
    default: about.shown ?? '',
    secret: false,
    read(text) {
      // As roughly as it takes to catch a slip: users are created under the rules of the API.
      if (text !== undefined && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(text))
        throw new Error('must be an e-mail address');
      return text ?? about.default;
    },
  };
}
