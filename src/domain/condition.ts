/** What a conditional request expects of a resource (RFC 9110, 13.1): entity tags without their quotes, or `*` for any. */
export interface Condition {
  ifMatch?: readonly string[] | undefined
  ifNoneMatch?: readonly string[] | undefined
}

/** Whether a resource with this entity tag is as expected; undefined is a resource that does not exist. */
export function holds({ ifMatch, ifNoneMatch }: Condition, tag: string | undefined): boolean {
  const matches = (tags: readonly string[]) => tag !== undefined && (tags.includes('*') || tags.includes(tag))
  return (ifMatch === undefined || matches(ifMatch)) && (ifNoneMatch === undefined || !matches(ifNoneMatch))
}
