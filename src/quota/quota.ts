import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { SYSTEM, type Write } from '../access/access.ts'
import type { SettingSources } from '../config/config.ts'
import type { Config } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { UploadLimits } from '../registry/registry.ts'
import { oneAtATime } from '../runtime/clock.ts'
import type { UploadBody } from '../storage/blob-store.ts'
import {
  type AppliedQuota,
  bytesDenied,
  EACH_NAMESPACE,
  type Freeable,
  fullDenied,
  fullQuotaOf,
  namespaceOf,
  type Quota,
  type QuotaLimits,
  type QuotaUsage,
  quotasFor,
  WHOLE_SERVER,
} from './limits.ts'

/*
 * Quotas limit how much a namespace, the first component of repository names, or the whole server can hold. They refuse
 * writes in the transaction that would exceed one, and uploads before their bytes fill the disk; stored content is never
 * removed. For one namespace, a configured quota overrides one set with the API, which the database keeps. What
 * namespaces hold is counted only while there are quotas.
 */

declare module '../http/controller.ts' {
  interface ApiServices {
    quotas: Quotas
  }
}

/** How many namespaces without their own quota a list shows, the largest first. */
const LARGEST_MAX = 100

/** The percentages of a limit that cause a warning, and the events that report them. */
const WARNINGS = [
  [95, 'quota.critical'],
  [80, 'quota.warning'],
] as const

export interface QuotaState extends Quota {
  /** What the namespace uses; undefined for the default quota. */
  usage: QuotaUsage | undefined
  /** Whether the default quota applies, because the namespace has none of its own. */
  inherited: boolean
  /** The highest usage of its limits, in percent; undefined without a limit. */
  percent: number | undefined
  /** Where it is configured; undefined if it was set with the API. */
  configuredIn: string | undefined
  version: number | undefined
}

export interface QuotaOptions {
  metadata: Metadata
  config: Pick<Config, 'quota'>
  settingSources: SettingSources
  log: Logger
  /** Milliseconds since 1970, for records. */
  now: () => number
}

/** Limits how much namespaces can hold. */
export class Quotas {
  readonly room: UploadRoom
  private readonly options: QuotaOptions
  private readonly source: string
  private quotas: readonly (Quota & Pick<QuotaState, 'configuredIn' | 'version'>)[] = []
  private readonly inTurn = oneAtATime()
  /** The percentage of the last warning, by namespace. */
  private readonly warned = new Map<string, number>()

  constructor(options: QuotaOptions) {
    this.options = options
    this.source = options.settingSources.quota ?? 'the configuration'
    this.room = new UploadRoom(() => this.quotas, options.metadata)
  }

  /** Applies the current quotas. Resolves when the usage of the namespaces has been counted. */
  apply(): Promise<void> {
    // One at a time, because each counts from where the previous one ended.
    return this.inTurn(() => this.applyNow())
  }

  /** Lists the quotas with their usage, then the largest namespaces that have only the default quota. */
  async list(): Promise<QuotaState[]> {
    const own = this.quotas.map((quota) => this.stateOf(quota, false))
    const each = this.quotas.find(({ namespace }) => namespace === EACH_NAMESPACE)
    if (each === undefined) return own
    const names = new Set(this.quotas.map(({ namespace }) => namespace))
    const largest = await this.options.metadata.quotas.largest(LARGEST_MAX)
    const others = largest.filter((name) => !names.has(name))
    return [...own, ...others.map((namespace) => this.stateOf({ ...each, namespace }, true))]
  }

  /** Returns the quota of a namespace: its own, or the default. Throws NOT_FOUND. */
  get(namespace: string): QuotaState {
    const own = this.quotas.find((quota) => quota.namespace === namespace)
    if (own !== undefined) return this.stateOf(own, false)
    const [each] = quotasFor(this.quotas, namespace).filter(({ counted }) => counted === namespace)
    if (each !== undefined) return this.stateOf({ ...each, namespace }, true)
    throw registryError('NOT_FOUND', `there is no quota of ${namespace}`)
  }

  /** Sets the quota of a namespace. Returns whether it is new. Throws CONFLICT or PRECONDITION_FAILED. */
  async put(act: Write, namespace: string, limits: QuotaLimits): Promise<boolean> {
    this.refuseConfigured(namespace)
    const isNew = await this.options.metadata.write('putQuota', { ...act, namespace, ...limits })
    await this.apply()
    return isNew
  }

  /** Deletes the quota of a namespace. Throws CONFLICT, NOT_FOUND or PRECONDITION_FAILED. */
  async remove(act: Write, namespace: string): Promise<void> {
    this.refuseConfigured(namespace)
    await this.options.metadata.write('removeQuota', { ...act, namespace })
    await this.apply()
  }

  /** Warns once, in the log and as an event, when the usage of a quota passes 80 or 95 percent. */
  async warn(): Promise<void> {
    const { log, metadata, now } = this.options
    for (const { namespace, percent = 0, usage } of await this.list()) {
      const [level, type] = WARNINGS.find(([one]) => percent >= one) ?? [0, undefined]
      if (type !== undefined && level > (this.warned.get(namespace) ?? 0)) {
        log.warn({ namespace, percent, ...usage }, `a quota is more than ${level} % full`)
        await metadata.write('noteQuota', { caller: SYSTEM, at: now(), type, namespace })
      }
      if (level === 0) this.warned.delete(namespace)
      else this.warned.set(namespace, level)
    }
  }

  private async applyNow(): Promise<void> {
    const { metadata, config } = this.options
    const configured = config.quota.map((one) => ({ ...one, configuredIn: this.source, version: undefined }))
    const names = new Set(configured.map(({ namespace }) => namespace))
    if (names.size < configured.length)
      throw new Error('two quotas are configured for one namespace: remove one of them')
    const rows = metadata.quotas.list().filter(({ namespace }) => !names.has(namespace))
    const managed = rows.map(({ bytesMax, repositoriesMax, tagsMax, ...row }) => ({
      ...row,
      bytesMax: bytesMax ?? undefined,
      repositoriesMax: repositoriesMax ?? undefined,
      tagsMax: tagsMax ?? undefined,
      configuredIn: undefined,
    }))
    this.quotas = [...configured, ...managed].sort((a, b) => (a.namespace < b.namespace ? -1 : 1))
    const quotas = this.quotas.map(({ configuredIn: _, version: _v, ...quota }) => quota)
    await metadata.write('applyQuotas', { quotas })
  }

  private stateOf(
    quota: Quota & Partial<Pick<QuotaState, 'configuredIn' | 'version'>>,
    inherited: boolean,
  ): QuotaState {
    const { namespace, bytesMax, repositoriesMax, tagsMax, configuredIn, version } = quota
    const { metadata } = this.options
    const usage = namespace === EACH_NAMESPACE ? undefined : metadata.quotas.usage(namespace)
    const shares = [
      shareOf(usage?.bytes, bytesMax),
      shareOf(usage?.repositories, repositoriesMax),
      shareOf(usage?.tags, tagsMax),
    ].filter((share) => share !== undefined)
    const percent = shares.length === 0 ? undefined : Math.max(...shares)
    return { namespace, bytesMax, repositoriesMax, tagsMax, usage, inherited, percent, configuredIn, version }
  }

  private refuseConfigured(namespace: string): void {
    if (this.quotas.find((quota) => quota.namespace === namespace)?.configuredIn === undefined) return
    const what = `the quota of ${namespace} is configured in ${this.source}: change it there`
    throw registryError('CONFLICT', what)
  }
}

/** Opens and applies the quotas. */
export async function openQuotas(options: QuotaOptions): Promise<Quotas> {
  const quotas = new Quotas(options)
  await quotas.apply()
  return quotas
}

function shareOf(used: number | undefined, limit: number | undefined): number | undefined {
  if (used === undefined || limit === undefined) return undefined
  return limit === 0 ? 100 : Math.floor((100 * used) / limit)
}

/** The maximum number of uploads that are counted. The least recently used ones are dropped. */
const UPLOADS_MAX = 10_000

type OpenUpload = { namespace: string; bytes: number }

/**
 * Counts the bytes of uploads in progress against quotas. The quotas themselves count a blob only once it is linked, so
 * concurrent uploads could otherwise fill the disk together. Does nothing without a quota of bytes. Uploads are
 * identified by their names, not their ids.
 */
export class UploadRoom implements UploadLimits {
  private readonly quotas: () => readonly Quota[]
  private readonly usageOf: (namespace: string) => QuotaUsage
  /** Adds to the error of a full quota how much deleted content still counts. Resolves to the error to throw. */
  readonly explain: (error: unknown) => Promise<unknown>
  private readonly uploads = new LRUCache<string, OpenUpload>({
    max: UPLOADS_MAX,
    dispose: ({ namespace, bytes }) => this.add(namespace, -bytes),
  })
  /** Bytes of the counted uploads, by namespace. */
  private readonly sums = new Map<string, number>()

  constructor(quotas: () => readonly Quota[], metadata: Metadata) {
    this.quotas = quotas
    this.usageOf = metadata.quotas.usage
    this.explain = denialExplainer(metadata)
  }

  /**
   * Reserves room for a body. A body of known length is refused before it is read. Any other is refused as soon as the
   * bytes written exceed a quota.
   *
   * @throws RegistryError DENIED
   */
  reserve(repository: RepositoryName, upload: string, body: UploadBody): void {
    const namespace = namespaceOf(repository)
    const applied = quotasFor(this.quotas(), namespace).filter(({ bytesMax }) => bytesMax !== undefined)
    if (applied.length === 0) return
    const { length = 0, onWritten } = body
    this.check(applied, length)
    this.grow(namespace, upload, length)
    let reserved = length
    body.onWritten = (part) => {
      onWritten?.(part)
      const more = Math.max(0, part.length - reserved)
      reserved = Math.max(0, reserved - part.length)
      if (more === 0) return
      this.grow(namespace, upload, more)
      this.check(applied, 0)
    }
  }

  /** Records how many bytes an upload has between two requests. */
  settle(upload: string, bytes: number): void {
    const found = this.uploads.get(upload)
    if (found !== undefined) this.uploads.set(upload, this.counted({ ...found, bytes }))
  }

  /** Stops counting an upload that has ended. */
  release(upload: string): void {
    this.uploads.delete(upload)
  }

  private grow(namespace: string, upload: string, bytes: number): void {
    const before = this.uploads.get(upload)?.bytes ?? 0
    this.uploads.set(upload, this.counted({ namespace, bytes: before + bytes }))
  }

  private counted(upload: OpenUpload): OpenUpload {
    this.add(upload.namespace, upload.bytes)
    return upload
  }

  private add(namespace: string, bytes: number): void {
    for (const name of [namespace, WHOLE_SERVER]) {
      const sum = (this.sums.get(name) ?? 0) + bytes
      if (sum === 0) this.sums.delete(name)
      else this.sums.set(name, sum)
    }
  }

  private check(applied: readonly AppliedQuota[], more: number): void {
    for (const quota of applied) {
      const used = this.usageOf(quota.counted).bytes
      const uploading = this.sums.get(quota.counted) ?? 0
      if (used + uploading + more > (quota.bytesMax ?? 0)) throw bytesDenied(quota, used, uploading)
    }
  }
}

/** How long the deleted bytes of a namespace are cached, so that repeated refusals are cheap. */
const REMEMBERED_MS = 5000
const NAMESPACES_MAX = 1000

function denialExplainer({ quotas }: Metadata): UploadRoom['explain'] {
  const known = new LRUCache<string, Promise<Freeable>>({ max: NAMESPACES_MAX, ttl: REMEMBERED_MS })
  return async (error) => {
    const full = fullQuotaOf(error)
    if (full === undefined) return error
    const freeable = known.get(full.quota) ?? quotas.deleted(full.quota)
    known.set(full.quota, freeable, { noUpdateTTL: true })
    return await freeable.then((found) => fullDenied(full, found)).catch(() => error)
  }
}

/** Wraps metadata so that errors of full quotas are explained. */
export function explainingDenials(metadata: Metadata, explain: UploadRoom['explain']): Metadata {
  const write: Metadata['write'] = async (...call) => {
    try {
      return await metadata.write(...call)
    } catch (error) {
      throw await explain(error)
    }
  }
  return { ...metadata, write }
}
