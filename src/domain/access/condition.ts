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
