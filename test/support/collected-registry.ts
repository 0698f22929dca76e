import { Database } from 'bun:sqlite'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type Access, type Identity, NOBODY } from '../../src/access/access.ts'
import { EVERYTHING } from '../../src/access/patterns.ts'
import { openMetadata } from '../../src/app/metadata.ts'
import { lockForRemoval } from '../../src/database/database.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { Collector } from '../../src/garbage/garbage.ts'
import {
  digestToBytes,
  parseDigest,
  parseReference,
  parseRepositoryName,
  parseTag,
} from '../../src/oci/reference.ts'
import { UploadRoom } from '../../src/quota/quota.ts'
import { ContentReader } from '../../src/registry/content-reader.ts'
import { Damaged } from '../../src/registry/local-blobs.ts'
import { LargePushes } from '../../src/registry/local-manifests.ts'
import { localRegistry } from '../../src/registry/local-registry.ts'
import { Conversions, localConversions, NegotiatedManifests } from '../../src/registry/pulls.ts'
import type { Registry, Uploads } from '../../src/registry/registry.ts'
import { PushActivity } from '../../src/registry/registry.ts'
import type { GarbageWindow } from '../../src/registry/store.ts'
import { openClocks } from '../../src/runtime/clock.ts'
import { type BlobStore, blobPlace, type UploadStore } from '../../src/storage/blob-store.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import { FilesystemBlobs } from '../../src/storage/filesystem.ts'
import { FilesystemUploads } from '../../src/storage/uploads.ts'
import { bodyOf } from './body.ts'
import type { Named } from './content.ts'
import { openMemoryLog } from './memory-log.ts'
import { CALLER } from './writes.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR

/** A grace period of one day and an undo window of ten days. */
const RETENTION: GarbageWindow = { graceMs: DAY, windowMs: 10 * DAY, untaggedDays: 0 }

const UPLOADS = { poolBytes: 4 * 1024 * 1024, digesters: 1, blobBytesMax: 1024 ** 3, stallSecondsMax: 60 }

/** An identity that may push. */
export const PUSHER: Identity = { ...NOBODY, account: 'pusher' }

export interface CollectedRegistryOptions {
  garbageWindow?: GarbageWindow
  /** Pauses an operation at a place until it resolves. */
  gate?: Gate
}

/** Resolves when an operation at this place, with a digest or the name of a write, may continue. */
export type Gate = (place: Place, name: string) => Promise<void>

/** Before a write, after its reply, after bytes are published, before they are removed. */
export type Place = 'write' | 'written' | 'published' | 'removal'

/** Anyone may pull, and only PUSHER may push. */
const ACCESS: Access = {
  isOpen: false,
  may: ({ account }, action) => action === 'pull' || account === PUSHER.account,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}

function fail(error: Error): never {
  throw error
}

/** A registry and its collector on their own data folder, with a clock that the test advances. */
export async function openCollectedRegistry(options: CollectedRegistryOptions = {}) {
  const { garbageWindow = RETENTION, gate = async () => {} } = options
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await temporaryFolder('collected'))
  const clock = { wall: 1_700_000_000_000, monotonic: 5000 }
  const time = { wall: () => clock.wall, monotonic: () => clock.monotonic }
  const metadata = guardWrites(await openMetadata(folder.path, fail), gate)
  resources.defer(() => metadata.close())
  const clocks = openClocks(await metadata.newestTime(), time)
  const files = new FilesystemBlobs(folder.path)
  const uploadFiles = new FilesystemUploads(folder.path, { ...UPLOADS, onFailure: fail })
  resources.defer(() => uploadFiles.stop())
  const { log, lines } = openMemoryLog()
  const shared = {
    metadata,
    blobs: guardBlobs(files, gate),
    locks: new DigestLocks(),
    garbageWindow,
    reader: new ContentReader(),
    largePushes: new LargePushes(),
    room: new UploadRoom(() => [], metadata),
    damaged: new Damaged(metadata, files, []),
    activity: new PushActivity(clocks.now),
    now: clocks.now,
  }
  const uploads = guardUploads(uploadFiles, gate)
  const registry = localRegistry({
    ...shared,
    uploads,
    access: ACCESS,
    sparse: 'index',
    checkAllowed: () => {},
    schema1: { push: true, unsigned: false },
    cacheBytesMax: 1024 * 1024,
  })
  const store = localConversions({ ...shared, uploads })
  const conversions = new Conversions(registry, store, shared.reader, clocks.now)
  const db = resources.use(new Database(join(folder.path, 'cay.db'), { readonly: true }))
  const collector = new Collector({
    ...shared,
    ...clocks,
    log,
    steady: clocks.steady(garbageWindow.graceMs),
    lockForRemoval: () => lockForRemoval(folder.path),
  })
  const kept = resources.move()
  return {
    metadata,
    registry,
    db,
    clock,
    now: clocks.now,
    log: lines,
    data: folder.path,
    ...contentOf(registry),
    pulls: new NegotiatedManifests(registry.manifests, conversions, 'auto'),
    collector,
    garbage: collector,

    /** Advances the clock. */
    wait(ms: number): void {
      clock.wall += ms
      clock.monotonic += ms
    },

    ...bytesIn(folder.path, db),

    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

function bytesIn(data: string, db: Database) {
  const pathOf = ({ digest }: Named): string => blobPlace(data, parseDigest(digest)).file
  const row = 'select 1 from blob b join blob_bytes y on y.blob_id = b.id where b.digest = ?'
  return {
    /** Returns the path of the file of a blob that is not small. */
    pathOf,

    /** Reports whether a blob's bytes exist, in the database or in a file. */
    hasBytes: (blob: Named): boolean =>
      db.query(row).get(digestToBytes(parseDigest(blob.digest))) !== null || existsSync(pathOf(blob)),
  }
}

export type CollectedRegistry = Awaited<ReturnType<typeof openCollectedRegistry>>

function guardWrites(metadata: Metadata, gate: Gate): Metadata {
  const write = async (name: string, args: unknown, moved: ArrayBuffer[]) => {
    await gate('write', name)
    const answer = await metadata.write(name as 'linkBlob', args as never, moved)
    await gate('written', name)
    return answer
  }
  return { ...metadata, write: write as Metadata['write'] }
}

function guardBlobs(blobs: BlobStore, gate: Gate): BlobStore {
  return {
    stat: (digest) => blobs.stat(digest),
    open: (blob, range) => blobs.open(blob, range),
    list: () => blobs.list(),
    async delete(digest) {
      await gate('removal', digest)
      await blobs.delete(digest)
    },
  }
}

function guardUploads(uploads: UploadStore, gate: Gate): UploadStore {
  return {
    start: (scope, algorithm) => uploads.start(scope, algorithm),
    find: (scope, id) => uploads.find(scope, id),
    getSize: (upload) => uploads.getSize(upload),
    append: (upload, body) => uploads.append(upload, body),
    cancel: (upload) => uploads.cancel(upload),
    expire: (before) => uploads.expire(before),
    async commit(upload, digest, body) {
      const stat = await uploads.commit(upload, digest, body)
      await gate('published', digest)
      return stat
    },
  }
}

/** The operations of a client, with names as it sends them. */
function contentOf(registry: Registry & { uploads: Uploads }) {
  const asked = (repository: string, reference: string) =>
    [parseRepositoryName(repository), parseReference(reference)] as const
  const isThere = async (look: Promise<unknown>): Promise<boolean> => {
    try {
      await look
      return true
    } catch (error) {
      if ((error as { status?: number }).status === 404) return false
      throw error
    }
  }
  return {
    pushBlob: ({ digest, bytes }: Named, repository = 'a'): Promise<unknown> =>
      registry.uploads.put(CALLER, parseRepositoryName(repository), parseDigest(digest), bodyOf(bytes)),

    async pushManifest({ bytes, digest }: Named, tags: string[] = [], repository = 'a'): Promise<void> {
      const [name, reference] = asked(repository, digest)
      await registry.manifests.put(CALLER, {
        repository: name,
        reference,
        tags: tags.map(parseTag),
        contentType: undefined,
        bytes: bytes.slice(),
      })
    },

    delete: (reference: string, repository = 'a'): Promise<void> =>
      registry.manifests.delete(CALLER, ...asked(repository, reference)),

    /** HEAD or GET of a manifest, by a pusher or a reader. */
    hasManifest: (reference: string, principal?: Identity, repository = 'a'): Promise<boolean> =>
      isThere(registry.manifests.get(...asked(repository, reference), principal)),

    hasBlob: ({ digest }: Named, principal?: Identity, repository = 'a'): Promise<boolean> =>
      isThere(registry.blobs.getSize(parseRepositoryName(repository), parseDigest(digest), principal)),
  }
}
