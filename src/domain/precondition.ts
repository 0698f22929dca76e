/** What a conditional push, change or delete expects of a tag (RFC 9110, 13.1): digests, or `*` for any. */
export interface Precondition {
  ifMatch?: string[]
  ifNoneMatch?: string[]
  /** Besides, when the tag must end; null: never. */
  expiresAt?: number | null
}
