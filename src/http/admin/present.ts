type Absent = undefined | null

/** An object without those of its members that are undefined or null. */
export type Present<T> = {
  [K in keyof T as Absent & T[K] extends never ? K : never]: T[K]
} & {
  [K in keyof T as Absent & T[K] extends never ? never : K]?: Exclude<T[K], Absent>
}

/** Leaves out what is absent: an answer has no nulls. */
export function present<T extends object>(value: T): Present<T> {
  const members: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined && member !== null) members[name] = member
  }
  return members as Present<T>
}
