import { type TSchema, t } from 'elysia'

/** Entries of one page of the admin API. */
const PAGE_MAX = 100

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

export const RoleName = t.UnionEnum(['reader', 'writer', 'admin'], {
  default: undefined,
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
export const pageOf = <T extends TSchema>(items: T, description: string) =>
  t.Object({ items: t.Array(items), next: t.Optional(t.String()) }, { description })

/** What every route says of itself: its name, its answer, and the refusals that any of them may meet. */
export function operation<T extends TSchema>(summary: string, operationId: string, answer: T) {
  const refused = {
    400: Errors,
    401: Errors,
    403: Errors,
    404: Errors,
    409: Errors,
    413: Errors,
    415: Errors,
  }
  return {
    response: { 200: answer, ...refused, 429: Errors, 500: Errors },
    detail: { summary, operationId, security: [{ basic: [] }, { bearer: [] }] },
  }
}

export const Done = t.Object({ done: t.Boolean() }, { description: 'It is done, and durable' })

/** The answer of an act that has nothing else to say. */
export const DONE = { done: true } as const

/** One page of the items made of what `read` gives; it is asked for one entry more than the page has. */
export function page<T, U>(
  read: (limit: number) => T[],
  keyOf: (entry: T) => string,
  toItem: (entry: T) => U,
): { items: U[]; next?: string } {
  const found = read(PAGE_MAX + 1)
  const shown = found.slice(0, PAGE_MAX)
  const end = shown.at(-1)
  const items = shown.map(toItem)
  return found.length > PAGE_MAX && end !== undefined ? { items, next: keyOf(end) } : { items }
}

/** Milliseconds since 1970 as RFC 3339. */
export function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
