import type { RepositoryName } from '../oci/reference.ts'
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
