import { registryError } from '../oci/error.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { RepositorySet } from './patterns.ts'

export type Action = 'pull' | 'push' | 'delete'

/** Permissions: which actions are allowed in which repositories. */
export interface Permissions {
  /** Whether nothing is allowed anywhere. */
  readonly isEmpty: boolean
  allows(action: Action, repository: RepositoryName): boolean
  /** The repositories in which this is allowed. */
  repositories(action: Action): RepositorySet
}

/** A limit on what an account may do. */
export interface Limit {
  /** Whose permissions these are, as a denial names them: "its owner bob" or "its token's scope". */
  of: string
  permissions: Permissions
}

/** An account authenticated by one of its credentials, or an anonymous client. */
export interface Identity {
  account: string | undefined
  /** The account's id, if it is in the database. */
  accountId: number | undefined
  credential: string | undefined
  /** A server admin may do everything. */
  isAdmin: boolean
  /** What is granted. Always reflects the current grants. */
  granted: Permissions
  /** Limits of a robot's owner and of a token's scope. Each of them must also allow an action. */
  limits: readonly Limit[]
  /** The scope of a short-lived token. Undefined for other credentials, which have no such scope. */
  token: TokenScope | undefined
}

/** The scope of a short-lived token: actions by repository, and whether it is for the catalog. */
export interface TokenScope {
  repositories: ReadonlyMap<string, ReadonlySet<string>>
  catalog: boolean
}

const NOTHING: Permissions = {
  isEmpty: true,
  allows: () => false,
  repositories: () => ({ has: () => false, seek: () => undefined }),
}

/** An anonymous client without grants. */
export const NOBODY: Identity = Object.freeze({
  account: undefined,
  accountId: undefined,
  credential: undefined,
  isAdmin: false,
  granted: NOTHING,
  limits: [],
  token: undefined,
})

/** Decides who may do what. */
export interface Access {
  /** Whether nobody needs to authenticate. */
  isOpen: boolean
  /** Reports whether the identity may do this in the repository. */
  may(identity: Identity, action: Action, repository: RepositoryName): boolean
  /** Returns the repositories that the identity may pull from. */
  pullable(identity: Identity): RepositorySet
  /** Returns the repositories in which the identity may delete, and see what was deleted. */
  deletable(identity: Identity): RepositorySet
}

/** The prefix of cay's tokens, so that scanners for leaked secrets recognize them. */
export const TOKEN_PREFIX = 'cay_'

/** Authentication and authorization. */
export interface Authentication {
  access: Access
  authenticator: Authenticator
  /** `service` is the audience of tokens, which is constant for the installation. */
  tokens: { service: string }
}

/** Authenticates callers. Throws UNAUTHORIZED for a wrong credential and TOOMANYREQUESTS after repeated failures. */
export interface Authenticator {
  /**
   * Authenticates by an `Authorization` header. Null is anonymous.
   *
   * @param address returns the client's address
   */
  authenticate(header: string | null, address: () => string): Identity | Promise<Identity>
  authenticatePassword(name: string, password: string, address: string): Promise<Identity>
  /** Authenticates by a refresh token from `/token`. */
  authenticateRefresh(secret: string, address: string): Promise<Identity>
}

/** Who made a change. Recorded in the history, the outbox and the log. Never holds a secret. */
export interface Caller {
  /** The account's name. Undefined for anonymous. */
  account: string | undefined
  /** The credential's id, when the account has several. */
  credential: string | undefined
  /** The client's address, as text. */
  address: string
  requestId: string
}

/** The arguments of every write: who makes it, when, and under which condition. */
export interface Write {
  caller: Caller
  /** Milliseconds since 1970. */
  at: number
  /** The condition on the resource's version. */
  condition?: Condition | undefined
}

/** The caller of automatic changes, such as the expiry of a tag. */
export const SYSTEM: Caller = Object.freeze({
  account: 'system',
  credential: undefined,
  address: '',
  requestId: '',
})

/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1), its scheme in lower case. */
export interface Challenge {
  scheme: string
  parameters: Readonly<Record<string, string>>
}

/** Headers are read no further than this many characters. */
const HEADER_CHARACTERS_MAX = 8192

/** A scheme, or a parameter with its value, quoted or not. */
const PART = /[\s,]*([!#$%&'*+\-.^_`|~\w]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y

/** Parses every challenge of a header; several headers may have been joined by commas. Malformed parts are skipped. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, HEADER_CHARACTERS_MAX)
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  const part = new RegExp(PART)
  for (;;) {
    const match = part.exec(text)
    if (match === null) return challenges
    const [, name = '', quoted, plain] = match
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain
    const current = challenges.at(-1)
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} })
    else if (current !== undefined) current.parameters[name.toLowerCase()] = value
  }
}

/**
 * Returns the network that a client's address is counted under: an IPv4 address itself, and the /64 network of an IPv6
 * address, because a single host commonly has all of it.
 */
export function networkOf(address: string): string {
  const plain = /^::ffff:(\d+(?:\.\d+){3})$/.exec(address)?.[1] ?? address
  if (!plain.includes(':')) return plain
  const [head = '', tail] = plain.split('%', 1)[0]?.split('::') ?? []
  const left = head === '' ? [] : head.split(':')
  const right = tail ? tail.split(':') : []
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

/** The condition of a request (RFC 9110, 13.1): entity tags without quotes, or `*` for any. */
export interface Condition {
  ifMatch?: readonly string[] | undefined
  ifNoneMatch?: readonly string[] | undefined
}

/**
 * Reports whether the condition holds for a resource's entity tag. Undefined means that the resource does not exist.
 */
export function holds({ ifMatch, ifNoneMatch }: Condition, tag: string | undefined): boolean {
  const matches = (tags: readonly string[]) => tag !== undefined && (tags.includes('*') || tags.includes(tag))
  return (ifMatch === undefined || matches(ifMatch)) && (ifNoneMatch === undefined || !matches(ifNoneMatch))
}

export type Role = 'reader' | 'writer' | 'admin'

/** A role on the repositories of a pattern, as in a grant. */
export interface Rule {
  pattern: string
  role: Role
}

/**
 * Whether an identity may do something. Every surface asks here, and turns the decision into its protocol's response:
 * - `unauthenticated`: not as an anonymous client; with a credential, perhaps;
 * - `out-of-scope`: the account may, but the scope of its short-lived token does not include this;
 * - `denied`: the account may not, with whatever token. `denial` says what it lacks.
 */
type Decision = 'allowed' | 'unauthenticated' | 'out-of-scope' | 'denied'

/** Decides about an action in a repository, from what the identity may do, and not from what exists. */
export function decide(
  access: Access,
  identity: Identity,
  action: Action,
  repository: RepositoryName,
): Decision {
  if (access.isOpen) return 'allowed'
  const { account, token } = identity
  if (!access.may(identity, action, repository)) return account === undefined ? 'unauthenticated' : 'denied'
  const actions = token?.repositories.get(repository)
  return token === undefined || actions?.has(action) || actions?.has('*') ? 'allowed' : 'out-of-scope'
}

/** Decides about lists of repositories. They are for every account, and for whoever may pull something. */
export function decideCatalog(
  access: Access,
  { account, token, granted }: Identity,
): Exclude<Decision, 'denied'> {
  if (access.isOpen) return 'allowed'
  if (token !== undefined && !token.catalog) return 'out-of-scope'
  return account === undefined && granted.isEmpty ? 'unauthenticated' : 'allowed'
}

/** Each action as people say it, and the least role that allows it. */
const ACTIONS: Record<Action, [verb: string, role: string]> = {
  pull: ['pull from', 'reader'],
  push: ['push to', 'writer'],
  delete: ['delete in', 'admin'],
}

/**
 * Says everything that an account lacks for an action: `alice+ci may not push to team/app: needs writer; its owner alice
 * needs writer`. It depends only on what the account may do, so it does not reveal whether the repository exists.
 */
export function denial(identity: Identity, action: Action, repository: RepositoryName): string {
  const { account = 'anonymous', isAdmin, granted, limits } = identity
  const needs = `needs ${ACTIONS[action][1]}`
  const lacking = [
    ...(isAdmin || granted.allows(action, repository) ? [] : [needs]),
    ...limits.flatMap(({ of, permissions }) =>
      permissions.allows(action, repository) ? [] : [`${of} ${needs}`],
    ),
  ]
  return `${account} may not ${deedOf(action, repository)}: ${lacking.join('; ')}`
}

/** Names an action in a repository, such as `push to team/app`. */
export function deedOf(action: Action, repository: RepositoryName): string {
  return `${ACTIONS[action][0]} ${repository}`
}

/**
 * Who may call a route. It is declared beside the route and checked before anything is validated or looked up:
 * - `pull`, `push`, `delete`: callers who may do this in the repository in the path;
 * - `catalog`: callers who may see at least something; lists show only what they may pull;
 * - `account`: callers signed in with a credential that is not limited by a scope;
 * - `self`: the account in the path, its owner, or a server admin;
 * - `admin`: server admins;
 * - `session`: browsers with a session, which these routes check themselves;
 * - `anybody`: everyone, even without signing in.
 */
export type AccessRule = Action | 'catalog' | 'account' | 'self' | 'admin' | 'session' | 'anybody'

/** The caller of the admin API and their rights. Each check throws UNAUTHORIZED or DENIED when it fails. */
export interface Principal {
  /** Undefined for an anonymous caller, or when access is open. */
  account: string | undefined
  /** Whether the caller is a server admin with a credential that is not limited by a scope. */
  isAdmin: boolean
  /** Returns the repositories that the caller may pull from, for lists. */
  pullable(): RepositorySet
  /** Returns the repositories in which the caller may delete and restore, for lists of deleted content. */
  deletable(): RepositorySet
  /** Returns the caller, the time and the condition, which every write takes. */
  act(): Write
  /** Requires that the caller may pull from, push to, or delete in a repository. */
  pull(repository: RepositoryName): Write
  push(repository: RepositoryName): Write
  delete(repository: RepositoryName): Write
  may(action: Action, repository: RepositoryName): boolean
  /** Requires that the caller may see at least something. */
  catalog(): Write
  /** Requires a server admin. `what` says in the error what only they may do. */
  admin(what?: string): Write
  /** Requires the account itself, its owner, or a server admin. */
  owner(account: string): Write
  /** Requires an account with a credential that is not limited by a scope. Returns its name. */
  self(): string
}

export interface PrincipalOptions {
  access: Access
  identity: Identity
  act: () => Write
  /** Called for each denial that belongs in the audit log. */
  onRefused: () => void
}

const OUT_OF_SCOPE = "the token's scope does not include this action"

/** Returns the checks for an identity. */
export function principalOf({ access, identity, act, onRefused }: PrincipalOptions): Principal {
  const { account } = identity
  // A credential limited to some repositories cannot manage accounts.
  const isWhole = identity.token === undefined && identity.limits.length === 0
  const isAdmin = access.isOpen || (identity.isAdmin && isWhole)
  const refuse = (who: string, what = 'do this') => {
    if (account === undefined) return unauthorized()
    onRefused()
    return registryError('DENIED', `only ${who} may ${what}`)
  }
  const actIf = (decision: Exclude<Decision, 'denied'>) => {
    if (decision === 'allowed') return act()
    throw unauthorized(decision === 'out-of-scope' ? OUT_OF_SCOPE : undefined)
  }
  const on = (action: Action) => (repository: RepositoryName) => {
    const decision = decide(access, identity, action, repository)
    if (decision === 'denied') {
      onRefused()
      throw registryError('DENIED', denial(identity, action, repository))
    }
    return actIf(decision)
  }
  return {
    account,
    isAdmin,
    pullable: () => access.pullable(identity),
    deletable: () => access.deletable(identity),
    act,
    pull: on('pull'),
    push: on('push'),
    delete: on('delete'),
    may: (action, repository) => decide(access, identity, action, repository) === 'allowed',
    catalog: () => actIf(decideCatalog(access, identity)),
    admin(what) {
      if (isAdmin) return act()
      throw refuse('a server admin', what)
    },
    owner(name) {
      if (isAdmin || (isWhole && account !== undefined && account === ownerOf(name))) return act()
      throw refuse(`${ownerOf(name)} or a server admin`)
    },
    self() {
      if (isWhole && account !== undefined) return account
      throw refuse('an account signed in without a limited token')
    },
  }
}

/** Throws unless the caller satisfies the rule. `params` come from the path and are not validated yet. */
export function enforce(rule: AccessRule, principal: Principal, params: Record<string, unknown>): void {
  switch (rule) {
    case 'anybody':
    case 'session':
      return
    case 'catalog':
      principal.catalog()
      return
    case 'account':
      if (!principal.isAdmin) principal.self()
      return
    case 'self':
      principal.owner(String(params.account ?? params.name))
      return
    case 'admin':
      principal.admin()
      return
    default:
      principal[rule](parseRepositoryName(String(params.repository ?? '')))
  }
}

/** Returns the user that an account belongs to: a robot's owner, or the user itself. */
export function ownerOf(account: string): string {
  return account.split('+', 1)[0] ?? account
}

function unauthorized(message = 'authentication required: use Basic, or a token as Bearer') {
  return registryError('UNAUTHORIZED', message)
}
