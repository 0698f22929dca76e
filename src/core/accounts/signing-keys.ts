import { newSigningKey } from '../../auth/signed-tokens.ts'
import type { Write } from '../../domain/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

/** A key that short-lived tokens are signed with. */
export interface SigningKey {
  /** The `kid` of its tokens. */
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
}

export interface SigningKeys {
  /** Lists keys, oldest first: the last one signs. */
  list(query: PageQuery): Promise<ListPage<SigningKey>>
  /** Signs with a new key from now on. Tokens of the others expire as they would. */
  rotate(act: Write): Promise<SigningKey>
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

    async rotate(act) {
      const key = await newSigningKey()
      await metadata.write('addSigningKey', { ...act, ...key })
      return { id: key.id, createdAt: act.at }
    },
  }
}
