import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiSecurity } from '@nestjs/swagger';
import type { Request } from 'express';
import type { Actor } from '../database/event.js';
import { Problem } from '../problems/problem.js';
import { problemResponses } from './problem-responses.js';

export const roles = ['customer', 'staff', 'auditor', 'admin'] as const;
export type Role = (typeof roles)[number];

/** What an API key may do, in place of a role. */
export const scopes = ['orders:read', 'orders:write', 'users:read', 'users:write', 'audit:read'] as const;
export type Scope = (typeof scopes)[number];

/** Whether a permission reaches over everything, or over what belongs to the caller. */
export type Reach = 'all' | 'own';

interface Grant {
  readonly roles: Readonly<Partial<Record<Role, Reach>>>;
  /** The scope that lets an API key do it; without one, no key may. */
  readonly scope?: Scope;
}

const EVERYBODYS_OWN = { customer: 'own', staff: 'own', auditor: 'own', admin: 'own' } as const;

/** Who may do what: the guards and the contract's `security` follow from this table. Its test has one of its own. */
const permissions = {
  /** The caller's own profile, sessions and sign-out. */
  account: { roles: EVERYBODYS_OWN },
  'users:read': { roles: { ...EVERYBODYS_OWN, staff: 'all', admin: 'all' }, scope: 'users:read' },
  'users:list': { roles: { staff: 'all', admin: 'all' }, scope: 'users:read' },
  'users:edit': { roles: { ...EVERYBODYS_OWN, admin: 'all' }, scope: 'users:write' },
  'users:manage': { roles: { admin: 'all' }, scope: 'users:write' },
  /** For ever, so that a person decides, and no key. */
  'users:erase': { roles: { admin: 'all' } },
  'users:export': { roles: { ...EVERYBODYS_OWN, admin: 'all' } },
  'users:reset-password': { roles: { admin: 'all' } },
  'orders:read': { roles: { customer: 'own', staff: 'all', admin: 'all' }, scope: 'orders:read' },
  /** Placing and cancelling. */
  'orders:place': { roles: { customer: 'own', staff: 'all', admin: 'all' }, scope: 'orders:write' },
  'orders:edit': { roles: { staff: 'all', admin: 'all' }, scope: 'orders:write' },
  'audit:read': { roles: { auditor: 'all', admin: 'all' }, scope: 'audit:read' },
  'api-keys:manage': { roles: { admin: 'all' } },
} as const satisfies Record<string, Grant>;

export type Permission = keyof typeof permissions;

/** Who is calling, as their credentials prove it: a user with a role and a session, or an API key with scopes. */
export interface Caller {
  readonly actor: Actor & { readonly id: string };
  readonly role: Role | null;
  readonly scopes: readonly Scope[];
  readonly sessionId: string | null;
}

/** A caller on a route that they may use, and how far that goes. */
export interface Access extends Caller {
  readonly reach: Reach;
}

declare module 'express-serve-static-core' {
  interface Request {
    /** Who is calling, where credentials were looked at and found good; else why they were not. */
    caller?: Caller;
    refusal?: Problem;
    /** Set on routes that require a permission, once it is granted. */
    access?: Access;
  }
}

/** How far the permission reaches for this caller; undefined when they do not have it. */
export function reachOf(caller: Pick<Caller, 'role' | 'scopes'>, permission: Permission): Reach | undefined {
  const grant: Grant = permissions[permission];
  if (caller.role !== null) return grant.roles[caller.role];
  return grant.scope !== undefined && caller.scopes.includes(grant.scope) ? 'all' : undefined;
}

/** Who may read the states of all subjects of a type; of one that is not named here, nobody. */
const stateReaders: Readonly<Record<string, Permission>> = {
  user: 'users:read',
  order: 'orders:read',
  'api-key': 'api-keys:manage',
};

/** Whether the caller may read the state of every subject of this type. */
export function readsStates(caller: Pick<Caller, 'role' | 'scopes'>, subjectType: string): boolean {
  const permission = stateReaders[subjectType];
  return permission !== undefined && reachOf(caller, permission) === 'all';
}

/** Whether the caller may see what belongs to this user. */
export function reaches({ reach, actor }: Pick<Access, 'reach' | 'actor'>, userId: string): boolean {
  return reach === 'all' || userId === actor.id;
}

/** The caller is known, but not allowed. */
export function forbidden(detail = 'You may not do this.'): Problem {
  return new Problem('forbidden', detail);
}

/** Who has the permission, in words. */
export function describePermission(permission: Permission): string {
  const { roles: reaches, scope }: Grant = permissions[permission];
  return describeGrant(Object.keys(reaches), scope);
}

/** Which roles, and which scope of API keys, are let through, in words. */
export function describeGrant(names: readonly string[], scope: string | undefined): string {
  const keys = scope === undefined ? 'not for API keys' : `for API keys with the scope ${scope}`;
  return `For the roles ${names.join(', ')}; ${keys}.`;
}

/** 401 with what RFC 6750 wants to be said beside it. */
export function unauthenticated(
  detail = 'Send an access token or an API key: Authorization: Bearer <token>.',
  code: 'unauthenticated' | 'token-expired' | 'refresh-reused' = 'unauthenticated',
  isGiven = false,
): Problem {
  const challenge = isGiven ? 'Bearer realm="ordo", error="invalid_token"' : 'Bearer realm="ordo"';
  return new Problem(code, detail, { headers: { 'WWW-Authenticate': challenge } });
}

type Declaration = Permission | 'public' | 'optional';
const DeclaredAccess = Reflector.createDecorator<Declaration>();

/** What a route declares of who may use it, the method before its controller; undefined when nobody has said so. */
export function declaredAccess(
  reflector: Reflector,
  handler: Parameters<Reflector['get']>[1],
  controller: Parameters<Reflector['get']>[1],
): Declaration | undefined {
  return reflector.getAllAndOverride<Declaration | undefined>(DeclaredAccess.KEY, [handler, controller]);
}

export const ACCESS_TOKEN = 'accessToken';
export const API_KEY = 'apiKey';

/** The permission that a route needs: by its name in the table above. */
export function Requires(permission: Permission): MethodDecorator & ClassDecorator {
  const grant: Grant = permissions[permission];
  return applyDecorators(
    DeclaredAccess(permission),
    ApiSecurity(ACCESS_TOKEN, Object.keys(grant.roles)),
    ...(grant.scope === undefined ? [] : [ApiSecurity(API_KEY, [grant.scope])]),
    ...problemResponses(['unauthenticated', 'token-expired', 'forbidden']),
  );
}

/** A route for everybody: it does not look at credentials. */
export function Public(): MethodDecorator & ClassDecorator {
  return DeclaredAccess('public');
}

/** A route for everybody that yet wants to know who is calling, if they say so: `@MaybeCaller()`. */
export function OptionallySignedIn(): MethodDecorator & ClassDecorator {
  return applyDecorators(DeclaredAccess('optional'), ApiSecurity({}), ApiSecurity(ACCESS_TOKEN));
}

/** The caller on a route that wants to know, or why their credentials do not count (or are missing). */
export const MaybeCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller | Problem => {
  const { caller, refusal } = context.switchToHttp().getRequest<Request>();
  return caller ?? refusal ?? unauthenticated();
});

/** Who is calling and how far they reach, on a route that requires a permission. */
export const CurrentAccess = createParamDecorator((_: unknown, context: ExecutionContext): Access => {
  const { access } = context.switchToHttp().getRequest<Request>();
  if (access === undefined) throw unauthenticated();
  return access;
});
