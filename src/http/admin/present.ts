type Absent = undefined | null

/** Members that hold a time: milliseconds since 1970 in the services, RFC 3339 in the API. */
type TimeName = `${string}At` | `${string}Until` | 'at' | 'since' | 'until'
const TIME = /(At|Until|^at|^since|^until)$/

/** An object as the API answers it: without members that are undefined or null, and with its times as text. */
export type Present<T> = {
  [K in keyof T as Absent & T[K] extends never ? K : never]: Shown<K, T[K]>
} & {
  [K in keyof T as Absent & T[K] extends never ? never : K]?: Shown<K, Exclude<T[K], Absent>>
}

type Shown<K, V> = K extends TimeName ? (V extends number ? string : V) : V

/**
 * Makes an answer of what a service returns. Elysia sends only the members that the schema of the route has, so members
 * that the API does not show need not be taken out.
 */
export function present<T extends object>(value: T): Present<T> {
  const members: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || member === null) continue
    const isTime = typeof member === 'number' && TIME.test(name)
    members[name] = isTime ? new Date(member).toISOString() : member
  }
  return members as Present<T>
}
