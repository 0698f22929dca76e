import type { Logger } from 'pino'
import type { TableSources } from '../../config/config.ts'
import type { Config } from '../../config/config-schema.ts'
import { SYSTEM, type Write } from '../../domain/caller.ts'
import {
  EACH_NAMESPACE,
  type Quota,
  type QuotaLimits,
  type QuotaUsage,
  quotasFor,
} from '../../domain/quota.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { denialExplainer } from './denials.ts'
import { UploadRoom } from './upload-room.ts'

/** Namespaces without a quota of their own that a list shows, the largest first. */
const LARGEST_MAX = 100

/** Shares of a limit, in percent, that are worth a warning, and the events that say so. */
const WARNINGS = [
  [95, 'quota.critical'],
  [80, 'quota.warning'],
] as const

export interface QuotaState extends Quota {
  /** What the namespace holds; undefined for the quota of each namespace. */
  usage: QuotaUsage | undefined
  /** The quota that applies is that of each namespace. */
  inherited: boolean
  /** The largest share of a limit that is used, in percent; undefined without a limit. */
  percent: number | undefined
  /** Where it is configured; undefined for one that was set with the API. */
  configuredIn: string | undefined
  version: number | undefined
}

export interface QuotaOptions {
  metadata: Metadata
  config: Pick<Config, 'quota'>
  tableSources: TableSources
  log: Logger
  /** Milliseconds since 1970, for records. */
  now: () => number
}

/** How much namespaces can hold. A quota of the configuration wins over one of the same namespace that was set with the API. */
export class Quotas {
  readonly room: UploadRoom
  private readonly options: QuotaOptions
  private readonly source: string
  private quotas: readonly (Quota & Pick<QuotaState, 'configuredIn' | 'version'>)[] = []
  private turn: Promise<unknown> = Promise.resolve()
  /** By namespace: the share that was warned of. */
  private readonly warned = new Map<string, number>()

  constructor(options: QuotaOptions) {
    this.options = options
    this.source = options.tableSources.quota ?? 'the configuration'
    const { metadata } = options
    this.room = new UploadRoom(() => this.quotas, metadata.quotas.usage, denialExplainer(metadata))
  }

  /** Applies the quotas as they are now. Resolves when what the namespaces hold is counted. */
  async apply(): Promise<void> {
    // One at a time, for each counts what the last one has left.
    const mine = this.turn.then(() => this.applyNow())
    this.turn = mine.catch(() => {})
    await mine
  }

  /** Lists the quotas with what is used, then the largest namespaces that have only that of each namespace. */
  list(): QuotaState[] {
    const own = this.quotas.map((quota) => this.stateOf(quota, false))
    const each = this.quotas.find(({ namespace }) => namespace === EACH_NAMESPACE)
    if (each === undefined) return own
    const names = new Set(this.quotas.map(({ namespace }) => namespace))
    const others = this.options.metadata.quotas.largest(LARGEST_MAX).filter((name) => !names.has(name))
    return [...own, ...others.map((namespace) => this.stateOf({ ...each, namespace }, true))]
  }

  /** Returns the quota of a namespace, its own or that of each. Throws NOT_FOUND. */
  get(namespace: string): QuotaState {
    const own = this.quotas.find((quota) => quota.namespace === namespace)
    if (own !== undefined) return this.stateOf(own, false)
    const [each] = quotasFor(this.quotas, namespace).filter(({ counted }) => counted === namespace)
    if (each !== undefined) return this.stateOf({ ...each, namespace }, true)
    throw registryError('NOT_FOUND', `there is no quota of ${namespace}`)
  }

  /** Sets the limits of a namespace; returns whether it had none. Throws CONFLICT or PRECONDITION_FAILED. */
  async put(act: Write, namespace: string, limits: QuotaLimits): Promise<boolean> {
    this.refuseConfigured(namespace)
    const isNew = await this.options.metadata.write('putQuota', { ...act, namespace, ...limits })
    await this.apply()
    return isNew
  }

  /** Throws CONFLICT, NOT_FOUND or PRECONDITION_FAILED. */
  async remove(act: Write, namespace: string): Promise<void> {
    this.refuseConfigured(namespace)
    await this.options.metadata.write('removeQuota', { ...act, namespace })
    await this.apply()
  }

  /** Warns once of each quota that has become fuller than 80 or 95 percent: in the log, and as an event. */
  async warn(): Promise<void> {
    const { log, metadata, now } = this.options
    for (const { namespace, percent = 0, usage } of this.list()) {
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
    if (names.size < configured.length) throw new Error('a namespace has two quotas: remove one of them')
    const rows = metadata.quotas.list().filter(({ namespace }) => !names.has(namespace))
    const managed = rows.map(({ namespace, version, ...limits }) => {
      const { bytesMax, repositoriesMax, tagsMax } = limits
      return {
        namespace,
        bytesMax: bytesMax ?? undefined,
        repositoriesMax: repositoriesMax ?? undefined,
        tagsMax: tagsMax ?? undefined,
        configuredIn: undefined,
        version,
      }
    })
    this.quotas = [...configured, ...managed].sort((a, b) => (a.namespace < b.namespace ? -1 : 1))
    const quotas = this.quotas.map(({ configuredIn: _, version: _v, ...quota }) => quota)
    await metadata.write('applyQuotas', { quotas })
  }

  private stateOf(
    quota: Quota & Partial<Pick<QuotaState, 'configuredIn' | 'version'>>,
    inherited: boolean,
  ): QuotaState {
    const { namespace, bytesMax, repositoriesMax, tagsMax, configuredIn, version } = quota
    const isEach = namespace === EACH_NAMESPACE
    const usage = isEach ? undefined : this.options.metadata.quotas.usage(namespace)
    const shares = [
      shareOf(usage?.bytes, bytesMax),
      shareOf(usage?.repositories, repositoriesMax),
      shareOf(usage?.tags, tagsMax),
    ].filter((share) => share !== undefined)
    const percent = shares.length === 0 ? undefined : Math.max(...shares)
    return { namespace, bytesMax, repositoriesMax, tagsMax, usage, inherited, percent, configuredIn, version }
  }

  private refuseConfigured(namespace: string): void {
    if (!this.quotas.some((quota) => quota.namespace === namespace && quota.configuredIn !== undefined))
      return
    throw registryError(
      'CONFLICT',
      `the quota of ${namespace} is configured in ${this.source}: change it there`,
    )
  }
}

/** Opens the quotas, and applies them. */
export async function openQuotas(options: QuotaOptions): Promise<Quotas> {
  const quotas = new Quotas(options)
  await quotas.apply()
  return quotas
}

function shareOf(used: number | undefined, limit: number | undefined): number | undefined {
  if (used === undefined || limit === undefined) return undefined
  return limit === 0 ? 100 : Math.floor((100 * used) / limit)
}
