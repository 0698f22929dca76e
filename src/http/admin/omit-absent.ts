type Absent = undefined | null

/** Fields that hold a time: milliseconds since 1970 in the services, RFC 3339 in the API. */
type TimeName = `${string}At` | `${string}Until` | 'at' | 'since' | 'until'
const TIME = /(At|Until|^at|^since|^until)$/

/** An object as the API returns it: without undefined or null fields, and with times as strings. */
export type WithoutAbsent<T> = {
  [K in keyof T as Absent & T[K] extends never ? K : never]: Shown<K, T[K]>
} & {
  [K in keyof T as Absent & T[K] extends never ? never : K]?: Shown<K, Exclude<T[K], Absent>>
}

type Shown<K, V> = K extends TimeName ? (V extends number ? string : V) : V

/**
 * Converts a service's result to a response. Elysia sends only the fields of the route's schema, so others need not be
 * removed.
 */
export function omitAbsent<T extends object>(value: T): WithoutAbsent<T> {
  const members: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || member === null) continue
    const isTime = typeof member === 'number' && TIME.test(name)
    members[name] = isTime ? new Date(member).toISOString() : member
  }
  return members as WithoutAbsent<T>
}
