/** Two registries that are given the same, and asked the same. */
export interface Registries {
  /** Where cay listens, `host:port`. */
  cay: string
  /** Where Debian's docker-registry listens. */
  peer: string
  /** An empty folder, where commands run. */
  folder: string
}

/** Cases by name; what one throws says what differs. */
export type Cases = Record<string, () => Promise<void>>
