import type { Write } from '../../domain/access/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

export interface Group {
  name: string
  /** Users and robots, in byte order. */
  members: string[]
  version: number
}

/** Groups of accounts. Changes throw PRECONDITION_FAILED when their condition does not hold. */
export interface Groups {
  /** Lists the names of groups. */
  list(query: PageQuery): Promise<ListPage<string>>
  /** Throws NOT_FOUND. */
  get(name: string): Promise<Group>
  /** Creates a group unless it exists, and returns whether it did. */
  put(act: Write, name: string): Promise<boolean>
  /** Adds and removes members. Throws NOT_FOUND for a group or an account that does not exist. */
  change(act: Write, name: string, members: { add: string[]; remove: string[] }): Promise<void>
  /** Deletes a group with its grants. Throws NOT_FOUND. */
  delete(act: Write, name: string): Promise<void>
}

export function groups(metadata: Metadata): Groups {
  return {
    list: (query) =>
      readPage(query, (limit) => metadata.accounts.listGroups(query.cursor ?? '', limit), String),

    async get(name) {
      const group = metadata.accounts.findGroup(name)
      if (group === undefined) throw registryError('NOT_FOUND', `there is no group ${name}`)
      return { name, members: metadata.accounts.membersOf(group.id), version: group.version }
    },

    async put(act, name) {
      return await metadata.write('putGroup', { ...act, name })
    },

    async change(act, name, members) {
      await metadata.write('changeMembers', { ...act, name, ...members })
    },

    async delete(act, name) {
      await metadata.write('removeGroup', { ...act, name })
    },
  }
}
