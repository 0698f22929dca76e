import { LRUCache } from 'lru-cache'
import type { Identity } from '../access/access.ts'
import { matchesPattern, parseRepositoryPattern, type RepositoryPattern } from '../access/patterns.ts'
import { ConfigError } from '../config/values.ts'
import { isSchema1Type } from '../docker/schema1.ts'
import { registryError, tooManyRequests } from '../oci/error.ts'
import { expiresAfterSeconds, searchableLabels } from '../oci/image-config.ts'
import { isImageConfig, isIndex, type Manifest, type ManifestReference } from '../oci/manifest.ts'
import {
  algorithmOf,
  type Digest,
  digestOf,
  formatReference,
  type Reference,
  type RepositoryName,
} from '../oci/reference.ts'
import type { ContentReader, Schema1Pushes } from './content-reader.ts'
import type { LabelReader } from './labels.ts'
import type { BlobOptions, CachedManifest, ExpiringManifest, ReadCache } from './local-blobs.ts'
import { type BeforeLarge, type Manifests, unknownIn, unknownManifest } from './registry.ts'
import { type GarbageWindow, type ManifestRow, untaggedMs } from './store.ts'

/** A larger manifest waits before it is read. */
const LARGE_BYTES = 256 * 1024

const OPTIONAL_ROLES = {
  none: ['foreign'],
  index: ['foreign', 'child'],
  all: ['foreign', 'child', 'config', 'layer', 'blob'],
} satisfies Record<string, ManifestReference['role'][]>

/** `none`; `index`: children of an index; `all`: layers and configs too. */
type Sparse = keyof typeof OPTIONAL_ROLES

/** The dependencies and settings of the manifests of a data folder. */
export interface ManifestOptions
  extends Pick<BlobOptions, 'metadata' | 'access' | 'activity' | 'now' | 'garbageWindow'> {
  /** Which missing content a manifest may reference. */
  sparse: Sparse
  /** Which types of artifacts a repository accepts. */
  checkAllowed: CheckAllowed
  /** Which Docker schema 1 manifests are accepted. */
  schema1: Schema1Pushes
  reader: ContentReader
  largePushes: LargePushes
}

/** The manifests of this data folder. */
export function localManifests(
  options: ManifestOptions,
  cache: ReadCache,
  readLabels: LabelReader,
): Manifests {
  const { metadata, access, activity, now, checkAllowed, schema1, reader, largePushes } = options
  const optionalRoles: ManifestReference['role'][] = OPTIONAL_ROLES[options.sparse]
  const read = manifestReader(options, cache)
  const keep = manifestKeeper(options)
  return {
    async get(repository, reference, principal, beforeLarge) {
      if (principal && access.may(principal, 'push', repository)) activity.note(repository)
      const found = await read(repository, reference, beforeLarge)
      const { expiry } = found
      if (expiry && principal && !(await keep(principal, repository, expiry)))
        throw unknownIn(metadata, repository, unknownManifest(repository, reference))
      return found
    },

    async put(caller, push) {
      const { repository, reference, tags, bytes, precondition } = push
      activity.note(repository)
      largePushes.check(caller.account, bytes.length)
      const { manifest: parsed, payload } = await reader.readPushed(push, schema1)
      checkAllowed(repository, parsed)
      const { annotations: _, ...manifest } = parsed
      const sha256 = digestOf(payload)
      const size = bytes.length
      const digest = reference.digest ?? sha256
      verifyDigest(digest, sha256, payload)
      const tagged = reference.tag === undefined ? tags : [reference.tag]
      const labels = await readLabels(repository, parsed, bytes)
      const put = {
        caller,
        repository,
        digest,
        sha256,
        manifest,
        bytes,
        optionalRoles,
        precondition,
        tags: tagged,
        expiresAfterSeconds: tagged.length === 0 ? undefined : expiresAfterSeconds(labels),
        labels: searchableLabels(labels),
      }
      const write = () => metadata.write('putManifest', { ...put, at: now() }, [bytes.buffer])
      await largePushes.write(caller.account, manifest.references.length, write)
      return { digest, size, subject: manifest.subject }
    },

    async delete(caller, repository, reference, precondition) {
      const { size = 0 } = (reference.digest && metadata.manifests.find(repository, reference, now())) || {}
      const call = { caller, repository, reference, precondition }
      const write = () => metadata.write('deleteManifest', { ...call, at: now() })
      await largePushes.change(caller.account, size, write)
    },
  }
}

/** Returns a function that reads manifests from the cache or the database. */
function manifestReader({ metadata, now, garbageWindow }: ManifestOptions, cache: ReadCache) {
  return async (
    repository: RepositoryName,
    reference: Reference,
    beforeLarge: BeforeLarge | undefined,
  ): Promise<CachedManifest> => {
    const name = formatReference(reference)
    const cached = cache.findManifest(repository, name)
    if (cached && (cached.expiresAt === undefined || cached.expiresAt > now())) {
      if (beforeLarge && cached.bytes.length >= LARGE_BYTES) await beforeLarge(cached.bytes.length)
      return cached
    }
    let row = metadata.manifests.find(repository, reference, now())
    if (beforeLarge && row && row.size >= LARGE_BYTES) {
      await beforeLarge(row.size)
      // The tag may have moved meanwhile, and the cache was cleared then.
      row = metadata.manifests.find(repository, reference, now())
    }
    if (row === undefined) throw unknownIn(metadata, repository, unknownManifest(repository, reference))
    const { digest, mediaType } = row
    const expiresAt = row.expiresAt ?? undefined
    const bytes = metadata.manifests.findBytes(row.storedAs)
    // The bytes were damaged. Pushing the manifest again restores them.
    if (bytes === undefined) throw unknownIn(metadata, repository, unknownManifest(repository, reference))
    const found = { digest, mediaType, expiresAt, bytes, expiry: expiryOf(row, garbageWindow) }
    cache.putManifest(repository, name, found)
    return found
  }
}

/** Returns when a manifest will be deleted; undefined if it stays. */
function expiryOf(
  { id, unreferencedAt, untaggedAt, untaggedDays }: ManifestRow,
  window: GarbageWindow,
): ExpiringManifest | undefined {
  if (unreferencedAt !== null) return { id, since: unreferencedAt, keptMs: window.windowMs }
  const keptMs = untaggedAt === null ? undefined : untaggedMs(window, untaggedDays)
  return untaggedAt === null || keptMs === undefined ? undefined : { id, since: untaggedAt, keptMs }
}

/**
 * Returns a function that keeps a manifest for the grace period if the caller may push, because a push may rely on it. It
 * returns whether the manifest still exists, and writes only if it would be deleted earlier.
 */
function manifestKeeper({ metadata, access, now, garbageWindow: { graceMs } }: ManifestOptions) {
  return async (identity: Identity, repository: RepositoryName, { id, since, keptMs }: ExpiringManifest) => {
    const at = now()
    if (since + keptMs - at >= graceMs || !access.may(identity, 'push', repository)) return true
    // Half a grace period more than promised, so that the next request need not write again.
    return await metadata.write('renewManifest', { id, since: at - keptMs + 1.5 * graceMs })
  }
}

function verifyDigest(digest: Digest, sha256: Digest, bytes: Uint8Array): void {
  const algorithm = algorithmOf(digest)
  const actual = algorithm === 'sha256' ? sha256 : digestOf(bytes, algorithm)
  if (actual === digest) return
  throw registryError('DIGEST_INVALID', `the manifest (${bytes.length} bytes) is ${actual}, not ${digest}`)
}

/** Throws DENIED if the repository does not accept manifests of this type. */
type CheckAllowed = (repository: RepositoryName, manifest: Manifest) => void

/** Images, and indexes without an artifact type. */
const IMAGE = 'image'

const SETTING = 'artifacts.allow'

interface Rule {
  pattern: RepositoryPattern
  types: string[]
}

/**
 * Parses the setting. An entry is `PATTERN=TYPE`. Entries without `=` add types to the pattern before them. A type
 * is an artifact type, the media type of a config, a prefix of one followed by `*`, or `image`. A repository accepts
 * the types of all patterns that match it, and everything if none does.
 *
 * @throws Error that names the setting when it is malformed
 */
export function allowedTypes(setting: readonly string[]): CheckAllowed {
  const rules = parseRules(setting)
  return (repository, manifest) => {
    const own = rules.filter(({ pattern }) => matchesPattern(pattern, repository))
    if (own.length === 0) return
    const type = typeOf(manifest)
    const allowed = own.flatMap(({ types }) => types)
    if (allowed.some((one) => isLike(one, type))) return
    throw registryError('DENIED', `${repository} accepts only ${allowed.join(', ')}, not ${type}`, {
      detail: { name: repository, artifactType: type, allowed },
    })
  }
}

function parseRules(setting: readonly string[]): Rule[] {
  const rules: Rule[] = []
  for (const entry of setting.flatMap((text) => text.split(',')).map((text) => text.trim())) {
    const equals = entry.indexOf('=')
    if (equals >= 0) rules.push({ pattern: parsePattern(entry.slice(0, equals)), types: [] })
    const type = entry.slice(equals + 1)
    const rule = rules.at(-1)
    if (rule === undefined || type === '') {
      throw new ConfigError(`${SETTING} has the entry ${JSON.stringify(entry)}: expected PATTERN=TYPE`)
    }
    rule.types.push(type)
  }
  return rules
}

function parsePattern(text: string): RepositoryPattern {
  try {
    return parseRepositoryPattern(text)
  } catch (error) {
    throw new ConfigError(`${SETTING}: ${(error as Error).message}`)
  }
}

/** Returns the type that is checked: the artifact type, or the media type without one. */
function typeOf({ artifactType, mediaType }: Manifest): string {
  if (artifactType !== undefined) return isImageConfig(artifactType) ? IMAGE : artifactType
  return isIndex(mediaType) || isSchema1Type(mediaType) ? IMAGE : mediaType
}

function isLike(pattern: string, type: string): boolean {
  return pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern
}

/** A manifest with more references is large: the writer's thread writes them all in one transaction. */
const REFERENCES_MAX = 500

/** The smallest size of a reference in a manifest, in bytes. */
const REFERENCE_BYTES = 80

/** After a large manifest, the next one waits this many times as long as its write took. */
const REST_FACTOR = 9

/** How many large manifests of one account may be in progress, and how many may wait. Each holds its bytes in memory. */
const PER_ACCOUNT_MAX = 2
const WAITING_MAX = 8

/** How many accounts have the time of their last turn recorded. */
const SERVED_MAX = 1000

interface Waiting {
  account: string
  turn: PromiseWithResolvers<void>
}

/**
 * Pushes, deletes and restores large manifests one at a time, with pauses, so that other writes get most of the
 * writer's time. Otherwise, four clients that push indexes of 12,000 entries would leave the others one push a second.
 * Accounts take turns: the next manifest is from the account whose last turn was the longest ago.
 */
export class LargePushes {
  /** In the order in which they came. */
  private waiting: Waiting[] = []
  /** How many each account has in progress or waiting. */
  private readonly counts = new Map<string, number>()
  private readonly servedAt = new LRUCache<string, number>({ max: SERVED_MAX })
  private turns = 0
  /** A write or the rest after it. */
  private isBusy = false
  private readonly sleep: (milliseconds: number) => Promise<void>

  constructor(sleep: (milliseconds: number) => Promise<void> = Bun.sleep) {
    this.sleep = sleep
  }

  /**
   * Writes a manifest. A large one waits for its turn.
   *
   * @throws RegistryError TOOMANYREQUESTS when too many large ones wait; and whatever `write` throws
   */
  async write<T>(caller: string | undefined, references: number, write: () => Promise<T>): Promise<T> {
    if (references <= REFERENCES_MAX) return await write()
    const account = caller ?? ''
    if (this.isFull(account)) throw busy()
    this.counts.set(account, this.countOf(account) + 1)
    try {
      await this.takeTurn(account)
      const began = performance.now()
      try {
        return await write()
      } finally {
        void this.sleep((performance.now() - began) * REST_FACTOR).then(() => this.beginNext())
      }
    } finally {
      const left = this.countOf(account) - 1
      if (left > 0) this.counts.set(account, left)
      else this.counts.delete(account)
    }
  }

  /**
   * Deletes or restores a manifest of so many bytes. A large one waits for its turn, because the garbage state of each
   * reference may change. Throws what `change` throws.
   */
  async change<T>(caller: string | undefined, bytes: number, change: () => Promise<T>): Promise<T> {
    return await this.write(caller, bytes / REFERENCE_BYTES, change)
  }

  /**
   * Refuses a manifest of so many bytes, before it is parsed, if it may be large and too many are waiting.
   *
   * @throws RegistryError TOOMANYREQUESTS
   */
  check(caller: string | undefined, bytes: number): void {
    if (bytes > REFERENCES_MAX * REFERENCE_BYTES && this.isFull(caller ?? '')) throw busy()
  }

  private isFull(account: string): boolean {
    if (this.countOf(account) >= PER_ACCOUNT_MAX) return true
    return this.waiting.length >= WAITING_MAX && this.findDisplaced(account) === undefined
  }

  private countOf(account: string): number {
    return this.counts.get(account) ?? 0
  }

  /** Resolves when it is the account's turn. Rejects when another account needs the place. */
  private async takeTurn(account: string): Promise<void> {
    if (!this.isBusy) return this.begin(account)
    if (this.waiting.length >= WAITING_MAX) {
      const displaced = this.findDisplaced(account)
      this.waiting = this.waiting.filter((one) => one !== displaced)
      displaced?.turn.reject(busy())
    }
    const turn = Promise.withResolvers<void>()
    this.waiting.push({ account, turn })
    await turn.promise
  }

  /** Returns the newest one of an account that has two waiting, which an account without any may displace. */
  private findDisplaced(account: string): Waiting | undefined {
    const waitingOf = (one: string) => this.waiting.filter((other) => other.account === one).length
    if (waitingOf(account) > 0) return undefined
    return this.waiting.findLast((one) => waitingOf(one.account) > 1)
  }

  private begin(account: string): void {
    this.isBusy = true
    this.servedAt.set(account, ++this.turns)
  }

  private beginNext(): void {
    const servedAt = ({ account }: Waiting) => this.servedAt.peek(account) ?? 0
    // The sort is stable: of those that had no turn, the oldest is first.
    const [next] = this.waiting.toSorted((a, b) => servedAt(a) - servedAt(b))
    this.isBusy = false
    if (next === undefined) return
    this.waiting = this.waiting.filter((one) => one !== next)
    this.begin(next.account)
    next.turn.resolve()
  }
}

function busy() {
  const message = `too many manifests with more than ${REFERENCES_MAX} references are being changed: try again soon`
  return tooManyRequests(message, 5, 503)
}
