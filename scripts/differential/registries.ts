/** Two registries with the same content, which get the same requests. */
export interface Registries {
  /** The address of cay, `host:port`. */
  cay: string
  /** The address of Debian's docker-registry, `host:port`. */
  peer: string
  /** An empty folder, where commands run. */
  folder: string
}

/** Cases by name; the error of a case says what differs. */
export type Cases = Record<string, () => Promise<void>>
