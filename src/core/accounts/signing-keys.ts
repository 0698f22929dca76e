import { newSigningKey, TOKEN_SECONDS_MAX } from '../../auth/signed-tokens.ts'
import type { Write } from '../../domain/access/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

/** A key that short-lived tokens are signed with. */
export interface SigningKey {
  /** The `kid` of its tokens. */
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** When a replaced key expires, and with it the tokens it has signed. Null for the key that signs now. */
  endsAt: number | null
}

export interface SigningKeys {
  /** Lists keys, oldest first. The last one signs. */
  list(query: PageQuery): Promise<ListPage<SigningKey>>
  /** Throws NOT_FOUND. */
  get(id: string): SigningKey
  /**
   * Replaces the signing key. The old keys expire when the last of their tokens does. With `now` they expire
   * immediately, and every token they have signed is refused.
   */
  rotate(act: Write, options?: { now?: boolean | undefined }): Promise<SigningKey & { othersEndAt: number }>
}

export function signingKeys(metadata: Metadata): SigningKeys {
  return {
    list(query) {
      // There are few keys, because each is deleted when its last token has expired.
      const rows = metadata.credentials.signingKeys()
      const from = rows.findIndex(({ id }) => id === query.cursor) + 1
      return readPage(
        query,
        (limit) => rows.slice(from, from + limit),
        ({ id }) => id,
      )
    },

    get(id) {
      const found = metadata.credentials.signingKeys().find((key) => key.id === id)
      if (found === undefined) throw registryError('NOT_FOUND', `there is no signing key ${id}`)
      return found
    },

    async rotate(act, { now = false } = {}) {
      const key = await newSigningKey()
      const othersEndAt = now ? act.at : act.at + TOKEN_SECONDS_MAX * 1000
      await metadata.write('addSigningKey', { ...act, ...key, othersEndAt })
      return { id: key.id, createdAt: act.at, endsAt: null, othersEndAt }
    },
  }
}
