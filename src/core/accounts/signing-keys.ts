import { newSigningKey, TOKEN_SECONDS_MAX } from '../../auth/signed-tokens.ts'
import type { Write } from '../../domain/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

/** A key that short-lived tokens are signed with. */
export interface SigningKey {
  /** The `kid` of its tokens. */
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** When a key that was replaced ends, and with it the tokens that it has signed; null for the one that signs. */
  endsAt: number | null
}

export interface SigningKeys {
  /** Lists keys, oldest first: the last one signs. */
  list(query: PageQuery): Promise<ListPage<SigningKey>>
  /**
   * Signs with a new key from now on. The others end when the last of their tokens would, or at once, and then all tokens
   * that they have signed are refused.
   */
  rotate(act: Write, options?: { now?: boolean | undefined }): Promise<SigningKey & { othersEndAt: number }>
}

export function signingKeys(metadata: Metadata): SigningKeys {
  return {
    list(query) {
      // There are few: a key is deleted when its last token has expired.
      const rows = metadata.credentials.signingKeys()
      const from = rows.findIndex(({ id }) => id === query.last) + 1
      return readPage(
        query,
        (limit) => rows.slice(from, from + limit),
        ({ id }) => id,
      )
    },

    async rotate(act, { now = false } = {}) {
      const key = await newSigningKey()
      const othersEndAt = now ? act.at : act.at + TOKEN_SECONDS_MAX * 1000
      await metadata.write('addSigningKey', { ...act, ...key, othersEndAt })
      return { id: key.id, createdAt: act.at, endsAt: null, othersEndAt }
    },
  }
}
