import type { Write } from '../../domain/access/caller.ts'
import { ownerOf } from '../../domain/access/principal.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

/** A program that signs in with tokens; its name is `owner+robot`. Times are milliseconds since 1970. */
export interface Robot {
  name: string
  createdAt: number
  disabledAt: number | null
  version: number
}

/** Robots. Changes throw PRECONDITION_FAILED when their condition does not hold. */
export interface Robots {
  /** Lists all robots, or those of one owner, by name. */
  list(query: PageQuery, owner?: string): Promise<ListPage<Robot>>
  /** Throws NOT_FOUND. */
  get(name: string): Promise<Robot>
  /** Creates a robot unless it exists, and returns whether it did. Throws NOT_FOUND when its owner does not exist. */
  put(act: Write, name: string): Promise<boolean>
  /** Throws NOT_FOUND. */
  change(act: Write, name: string, change: { disabled: boolean }): Promise<void>
  /** Deletes a robot with its tokens and grants. Throws NOT_FOUND. */
  delete(act: Write, name: string): Promise<void>
}

const kind = 'robot'

export function robots(metadata: Metadata): Robots {
  return {
    list: (query, owner) =>
      readPage(
        query,
        (limit) => metadata.accounts.list(kind, query.cursor ?? '', limit, owner),
        ({ name }) => name,
      ),

    async get(name) {
      const row = metadata.accounts.find(name)
      if (row?.kind === kind) return row
      throw registryError('NOT_FOUND', `there is no robot ${name}`)
    },

    async put(act, name) {
      const robot = { name, kind, owner: ownerOf(name), isAdmin: false } as const
      return (await metadata.write('putAccount', { ...act, ...robot })).isNew
    },

    async change(act, name, change) {
      await metadata.write('changeAccount', { ...act, name, kind, change })
    },

    async delete(act, name) {
      await metadata.write('removeAccount', { ...act, name, kind })
    },
  }
}
