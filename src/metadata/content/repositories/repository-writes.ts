import { and, desc, eq, gte, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Write } from '../../../domain/access/caller.ts'
import { registryError } from '../../../oci/error.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import type { RecordEvent } from '../../events.ts'
import { updateBy } from '../../rows.ts'
import { repository } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import { deletedThen, type Restore, tooLongAgo } from '../../time-machine/restore.ts'
import { checkVersion, type VersionOfCall } from '../../versions.ts'
import type { EnsureRepository, RepositoryReads } from './repositories.ts'

/** The settings of a repository. */
export interface RepositorySettings {
  description: string
  /** Days until a manifest that never had a tag is collected; null for the server's setting. */
  untaggedDays: number | null
  /** Whether its tags can only be created, not moved or deleted. */
  immutableTags: boolean
  /** The same for tags that match one of these patterns. */
  immutablePatterns: string[]
}

interface RepositoryState extends RepositorySettings {
  id: number
  version: number
}

/** A write of one repository. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface RepositoryWrite extends Write {
  repository: RepositoryName
}

const DEFAULTS: RepositorySettings = {
  description: '',
  untaggedDays: null,
  immutableTags: false,
  immutablePatterns: [],
}

/** Changes of repositories, each for one call of the writer. */
export function repositoryWrites({
  recordEvent,
  ensure,
  rows,
}: {
  recordEvent: RecordEvent
  ensure: EnsureRepository
  rows: RepositoryRows
}) {
  const get = ({ repository, condition }: RepositoryWrite): RepositoryState | undefined => {
    const row = rows.find.get({ name: repository })
    checkVersion(`the repository ${repository}`, row?.version, condition)
    return row
  }
  const getThere = (call: RepositoryWrite): RepositoryState => {
    const row = get(call)
    if (row !== undefined) return row
    throw registryError('NAME_UNKNOWN', `there is no repository ${call.repository}`)
  }
  const change = (call: RepositoryWrite, row: RepositoryState, settings: RepositorySettings): boolean => {
    if (isSame(row, settings)) return false
    rows.change(row.id, settings)
    recordEvent({ type: 'repository.change', repository: call.repository }, call.caller, call.at)
    return true
  }

  return {
    /** Creates a repository, or replaces the settings of an existing one. Omitted settings get their defaults. */
    putRepository(call: RepositoryWrite & Partial<RepositorySettings>): { id: number; isNew: boolean } {
      const { repository, caller, at } = call
      const settings = settingsOf(call, DEFAULTS)
      const row = get(call)
      if (row !== undefined) {
        change(call, row, settings)
        return { id: row.id, isNew: false }
      }
      const id = ensure.local(repository, at)
      if (!isSame(DEFAULTS, settings)) rows.change(id, settings)
      recordEvent({ type: 'repository.create', repository }, caller, at)
      return { id, isNew: true }
    },

    /** Changes the settings that are given. Throws NAME_UNKNOWN, or PRECONDITION_FAILED. */
    changeRepository(call: RepositoryWrite & { change: Partial<RepositorySettings> }): { id: number } {
      const row = getThere(call)
      change(call, row, settingsOf(call.change, row))
      return { id: row.id }
    },

    /** Deletes a repository with its content. Throws NAME_UNKNOWN, or PRECONDITION_FAILED. */
    deleteRepository(call: RepositoryWrite): { stale: 'content' } {
      const { id } = getThere(call)
      rows.setDeleted(id, call.at)
      recordEvent({ type: 'repository.delete', repository: call.repository }, call.caller, call.at)
      return { stale: 'content' }
    },
  }
}

/** Writes that restore deleted repositories, each for one call of the writer. */
export function repositoryRestores({
  recordEvent,
  find,
  rows,
}: {
  recordEvent: RecordEvent
  find: RepositoryReads['find']
  rows: RepositoryRows
}) {
  return {
    /**
     * Restores the repository that was deleted at a time, or the one that was deleted last. Throws NAME_UNKNOWN, and
     * CONFLICT when a repository of that name exists.
     */
    restoreRepository(call: Restore & { deletedAt?: number | undefined }): { id: number } {
      const { repository, caller, at, deletedAt } = call
      if (find(repository) !== undefined) {
        throw registryError(
          'CONFLICT',
          `a repository ${repository} exists: delete it first, then restore this one`,
        )
      }
      const row =
        deletedAt === undefined
          ? rows.lastDeleted.get({ name: repository, windowStart: call.windowStart })
          : rows.deletedAt.get({ name: repository, deletedAt })
      if (row === undefined)
        throw registryError('NAME_UNKNOWN', `no repository ${repository} ${deletedThen(call)}`)
      if (row.deletedAt < call.windowStart)
        throw registryError('NAME_UNKNOWN', `${repository} ${tooLongAgo(row.deletedAt, call)}`)
      rows.setDeleted(row.id, null)
      recordEvent({ type: 'repository.restore', repository }, caller, at)
      return { id: row.id }
    },
  }
}

export type RepositoryRows = ReturnType<typeof repositoryRows>

export function repositoryRows(db: Db, version: VersionOfCall) {
  const deleted = (name: Placeholder, condition: SQL) =>
    db
      .select({ id: repository.id, deletedAt: sql<number>`${repository.deletedAt}` })
      .from(repository)
      .where(and(eq(repository.name, name), condition))
      .orderBy(desc(repository.deletedAt), desc(repository.id))
      .limit(1)
  const change = updateBy(
    db,
    repository,
    ['description', 'untaggedDays', 'immutableTags', 'immutablePatterns', 'version'],
    'id',
  )
  const setDeleted = updateBy(db, repository, ['deletedAt', 'version'], 'id')
  return {
    find: statement(db, { name: text }, ({ name }) =>
      db
        .select({
          id: repository.id,
          description: repository.description,
          untaggedDays: repository.untaggedDays,
          immutableTags: repository.immutableTags,
          immutablePatterns: repository.immutablePatterns,
          version: repository.version,
        })
        .from(repository)
        .where(and(eq(repository.name, name), sql`${repository.deletedAt} is null`)),
    ),
    lastDeleted: statement(db, { name: text, windowStart: number }, ({ name, windowStart }) =>
      deleted(name, gte(repository.deletedAt, windowStart)),
    ),
    deletedAt: statement(db, { name: text, deletedAt: number }, ({ name, deletedAt }) =>
      deleted(name, eq(repository.deletedAt, deletedAt)),
    ),
    change: (id: number, settings: RepositorySettings) => change.run({ ...settings, id, version: version() }),
    setDeleted: (id: number, deletedAt: number | null) =>
      setDeleted.run({ id, deletedAt, version: version() }),
  }
}

function settingsOf(given: Partial<RepositorySettings>, otherwise: RepositorySettings): RepositorySettings {
  const { description, untaggedDays, immutableTags, immutablePatterns } = given
  return {
    description: description ?? otherwise.description,
    untaggedDays: untaggedDays === undefined ? otherwise.untaggedDays : untaggedDays,
    immutableTags: immutableTags ?? otherwise.immutableTags,
    immutablePatterns: immutablePatterns ?? otherwise.immutablePatterns,
  }
}

function isSame(a: RepositorySettings, b: RepositorySettings): boolean {
  return (
    a.description === b.description &&
    a.untaggedDays === b.untaggedDays &&
    a.immutableTags === b.immutableTags &&
    a.immutablePatterns.join() === b.immutablePatterns.join()
  )
}
