import { type IntegerOptions, Type } from '@sinclair/typebox'
import { type TSchema, t } from 'elysia'
import type { Principal } from '../access/access.ts'
import { parseDigest, parseRepositoryName, REPOSITORY_NAME_CHARACTERS_MAX } from '../oci/reference.ts'
import { type ListPage, PAGE_DEFAULT } from './list-page.ts'

/** The largest page of the admin API, in entries. */
const PAGE_MAX = 500

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'

export const Name = t.String({
  pattern: `^${COMPONENT}$`,
  maxLength: 64,
  description: 'Lowercase letters and digits, with ".", "_" or "-" between them',
  example: 'alice',
})

export const RobotName = t.String({
  pattern: `^${COMPONENT}\\+${COMPONENT}$`,
  maxLength: 129,
  description: 'OWNER+NAME',
  example: 'alice+ci',
})

export const AccountName = t.String({
  pattern: `^${COMPONENT}(?:\\+${COMPONENT})?$`,
  maxLength: 129,
  description: 'The name of a user, or OWNER+NAME of a robot',
  example: 'alice',
})

export const Password = t.String({
  minLength: 8,
  maxLength: 72,
  description: 'At least 8 characters',
  example: 'correct-horse-battery',
})

/** One of some texts. Elysia would make the first one the default. */
export const oneOf = <const T extends readonly [string, ...string[]]>(values: T, description?: string) =>
  t.UnionEnum(values, { default: undefined, ...(description !== undefined && { description }) })

export const RoleName = oneOf(
  ['reader', 'writer', 'admin'],
  'reader: pull; writer: pull and push; admin: pull, push and delete',
)

export const Pattern = t.String({
  maxLength: 255,
  description: 'Repository names: "*" matches one component, "**" any number of components',
  example: 'alice/**',
})

export const RuleModel = t.Object({ pattern: Pattern, role: RoleName })

export const Time = t.String({ format: 'date-time', example: '2026-01-31T12:00:00.000Z' })

/**
 * A number in a response. Elysia's `t.Integer` also accepts strings, for paths and queries. A response that has one is
 * encoded by walking its schema, which took a fifth of the time of a list of 100 tags.
 */
export const integer = (options?: IntegerOptions) => Type.Integer(options)

/** A number that is never negative. */
export const count = (description: string) => integer({ minimum: 0, description })

/** A time, as RFC 3339. */
export const time = (description: string) => t.String({ format: 'date-time', description })

export const Bytes = count('Bytes')

export const Count = integer({ minimum: 0 })

export const DIGEST_EXAMPLE = `sha256:${'0'.repeat(64)}`

export const DigestText = t.String({ example: DIGEST_EXAMPLE })

export const RepositoryText = t.String({ example: 'library/alpine' })

export const ConfiguredIn = t.Optional(
  t.String({
    description: 'The file, flag or variable that configures it; the API cannot change it',
    example: '/var/lib/cay/cay.toml',
  }),
)

/** The parameters of every list. Add others with `t.Object({ ...pageParameters, ... })`. */
export const pageParameters = {
  cursor: t.Optional(
    t.String({ maxLength: 512, description: '`nextCursor` of the previous page', example: 'a' }),
  ),
  limit: t.Optional(
    t.Integer({ minimum: 1, maximum: PAGE_MAX, description: `Entries per page [${PAGE_DEFAULT}]` }),
  ),
}

export const PageQuery = t.Object(pageParameters)

/** A repository name as one path segment, with %2F for its slashes. */
export const RepositoryParam = t
  .Transform(
    t.String({
      maxLength: REPOSITORY_NAME_CHARACTERS_MAX,
      description: 'The repository name, with %2F for slashes',
      example: 'library/alpine',
    }),
  )
  .Decode(parseRepositoryName)
  .Encode(String)

/** A digest in a path. */
export const DigestParam = t
  .Transform(t.String({ maxLength: 135, description: 'sha256:HEX or sha512:HEX', example: DIGEST_EXAMPLE }))
  .Decode(parseDigest)
  .Encode(String)

export const NextCursor = t.Optional(t.String({ description: 'Absent on the last page' }))

/** A page of entries, with `nextCursor` if there are more. */
export const pageOf = <T extends TSchema>(items: T, description: string) =>
  t.Object({ items: t.Array(items), nextCursor: NextCursor }, { description })

/** Converts a page of a service to a response. */
export function mapPage<T, U>({ items, next }: ListPage<T>, toItem: (entry: T) => U) {
  const shown = { items: items.map(toItem) }
  return next === undefined ? shown : { ...shown, nextCursor: next }
}

/** Formats milliseconds since 1970 as RFC 3339. */
export function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

interface Who {
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/**
 * Returns who made a change, as far as the principal may see it: account names need an account, and credentials,
 * addresses and request ids need a server admin.
 */
export function toWho(
  { account, credential, address, requestId }: Who,
  principal: Principal,
): Partial<Omit<Who, 'credential'> & { credentialId: string | null }> {
  if (principal.isAdmin) return { account, credentialId: credential, address, requestId }
  return principal.account === undefined ? {} : { account }
}
