import { t } from 'elysia'

/** Entries of one page of the admin API. */
export const PAGE_MAX = 100

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'

export const Name = t.String({
  pattern: `^${COMPONENT}$`,
  maxLength: 64,
  description: 'Lower-case letters and digits, with ".", "_" or "-" between',
})

export const RobotName = t.String({
  pattern: `^${COMPONENT}\\+${COMPONENT}$`,
  maxLength: 129,
  description: 'OWNER+NAME',
})

export const AccountName = t.String({
  pattern: `^${COMPONENT}(?:\\+${COMPONENT})?$`,
  maxLength: 129,
  description: 'A user, or OWNER+NAME for a robot',
})

export const Password = t.String({ minLength: 8, maxLength: 72, description: 'At least 8 characters' })

export const RoleName = t.Union([t.Literal('reader'), t.Literal('writer'), t.Literal('admin')], {
  description: 'reader: pull; writer: also push; admin: also delete',
})

export const Pattern = t.String({
  maxLength: 255,
  description: '"*" is one component, "**" any number of them',
})

export const RuleModel = t.Object({ pattern: Pattern, role: RoleName })

export const Time = t.String({ format: 'date-time' })

export const PageQuery = t.Object({
  last: t.Optional(
    t.String({ maxLength: 255, description: 'The entry before the page: `next` of the page before' }),
  ),
})

export const Errors = t.Object(
  {
    errors: t.Array(
      t.Object({
        code: t.String(),
        message: t.String(),
        detail: t.Optional(t.Object({}, { additionalProperties: true })),
      }),
    ),
  },
  { description: 'What was wrong, and what to do' },
)

/** A page of entries; `next` is there when more follow. */
export const pageOf = <T extends Parameters<typeof t.Array>[0]>(items: T, description: string) =>
  t.Object({ items: t.Array(items), next: t.Optional(t.String()) }, { description })

/** The refusals that any act of the admin API may meet. */
export const REFUSALS = {
  400: Errors,
  401: Errors,
  403: Errors,
  404: Errors,
  409: Errors,
  422: Errors,
  429: Errors,
}

export const Done = t.Object({ done: t.Literal(true) }, { description: 'It is done, and durable' })

export const SECURITY = [{ basic: [] }, { bearer: [] }]

/** One page of what `read` gives for one entry more than it has. */
export function page<T>(
  read: (limit: number) => T[],
  keyOf: (item: T) => string,
): { items: T[]; next?: string } {
  const found = read(PAGE_MAX + 1)
  const items = found.slice(0, PAGE_MAX)
  const end = items.at(-1)
  return found.length > PAGE_MAX && end !== undefined ? { items, next: keyOf(end) } : { items }
}

/** Milliseconds since 1970 as RFC 3339, or nothing. */
export function timeOf(milliseconds: number | null): string | undefined {
  return milliseconds === null ? undefined : new Date(milliseconds).toISOString()
}
