import { Value } from '@sinclair/typebox/value'
import type { Logger } from 'pino'
import { type Caller, SYSTEM, type Write } from '../access/access.ts'
import type { SettingSources } from '../config/config.ts'
import { type Config, RetentionSchema } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import { invalidCursor, type ListPage, PAGE_DEFAULT, type PageQuery } from '../http/list-page.ts'
import type { JobWork } from '../jobs/jobs.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { unknownRepository } from '../registry/registry.ts'
import type { NamedRow } from '../registry/store.ts'
import { oneAtATime } from '../runtime/clock.ts'
import type { Expired } from './expiration.ts'
import { compilePolicies, type RetentionPolicy } from './rules.ts'
import type { TestedTag } from './store.ts'

/*
 * Retention policies decide which tags expire, and when manifests that never had a tag become garbage. What any policy of
 * a repository keeps stays. A run examines only repositories in which something may have changed or become old enough. A
 * configured policy overrides one of the same name that was set with the API, which the database keeps.
 */

declare module '../http/controller.ts' {
  interface ApiServices {
    retention: Retention
  }
}

/** How many tags one page of a test examines. A short page can still have a next one. */
const TESTED_MAX = 10_000

export interface RetentionOptions {
  metadata: Metadata
  config: Pick<Config, 'retention'>
  settingSources: SettingSources
  log: Logger
  /** Milliseconds since 1970, for records. */
  now: () => number
  /** The clock for deletions. */
  steady: () => number
  /** Writes the pulls that are counted only in memory. */
  usage: { flush(): Promise<void> }
}

/** The result of a test for a tag: whether the policies would expire it, and why. */
type TestedEntry = ReturnType<typeof entryOf>

export interface RetentionTestQuery extends PageQuery {
  repository?: RepositoryName | undefined
  /** A policy to test as if it were set. It replaces the one with its name. */
  policy?: RetentionPolicy | undefined
  /** Only tags that would expire. */
  expiring?: boolean | undefined
}

export interface RetentionRun {
  caller: Caller
  signal?: AbortSignal | undefined
  /** Called with the number of repositories examined. */
  progress?: (done: number) => void
}

/** Applies the retention policies, and shows what they would do. */
export class Retention {
  readonly policies: ReturnType<typeof retentionPolicies>
  /** How much was expired since the process started. */
  readonly expired: Omit<Expired, 'repositories'> = { tags: 0, manifests: 0 }
  private readonly options: RetentionOptions
  private readonly inTurn = oneAtATime()
  private readonly stopping = new AbortController()

  constructor(options: RetentionOptions) {
    this.options = options
    this.policies = retentionPolicies(options)
  }

  /** Expires what the policies do not keep, in small batches. Runs are serialized. Rejects when cancelled. */
  run(run: RetentionRun): Promise<Expired> {
    return this.inTurn(() => this.expireAll(run))
  }

  /** Runs on schedule, and records what was expired in the audit log. */
  async runRegularly(): Promise<void> {
    const { metadata, now, log } = this.options
    const expired = await this.run({ caller: SYSTEM })
    if (expired.tags + expired.manifests === 0) return
    log.info(expired, 'applied the retention policies')
    const act = { action: 'retention.run', target: 'schedule', detail: { ...expired } }
    await metadata.write('noteAct', { caller: SYSTEM, at: now(), ...act })
  }

  /** Records which repositories have changed, because the outbox may drop the changes before the next run. */
  async plan(): Promise<void> {
    await this.inTurn(() => this.planNow())
  }

  /** Lists tags with what the policies, including the query's, would do with each. Throws NAME_UNKNOWN. */
  async test({ repository, policy, expiring, cursor: text, limit = PAGE_DEFAULT }: RetentionTestQuery) {
    const policies = (await this.policies.list()).filter(({ name }) => name !== policy?.name)
    const asked = plainPolicies(policy === undefined ? policies : [...policies, policy])
    if (text === undefined) await this.options.usage.flush()
    const cursor = parseTestCursor(text) ?? { at: this.options.steady(), repository: '', tag: '' }
    const { at } = cursor
    const items: TestedEntry[] = []
    let looked = 0
    for await (const one of this.governed(asked, repository, cursor.repository)) {
      let after = one.name === cursor.repository ? cursor.tag : ''
      for (;;) {
        const test = { repository: one, policies: asked, at, after }
        const rows = await this.options.metadata.retention.test(test)
        if (rows.length === 0) break
        for (const row of rows) {
          if (!expiring || row.verdict.expires) items.push(entryOf(one.name, row))
          after = row.name
          if (items.length >= limit || ++looked >= TESTED_MAX)
            return { items, next: `${at}.${one.name}:${after}` } satisfies ListPage<TestedEntry>
        }
      }
    }
    return { items } satisfies ListPage<TestedEntry>
  }

  /** Cancels the current run. Resolves when its current batch has ended. */
  async stop(): Promise<void> {
    this.stopping.abort()
    await this.inTurn(async () => {})
  }

  private async planNow(): Promise<RetentionPolicy[]> {
    const policies = plainPolicies(await this.policies.list())
    await this.options.metadata.write('planRetention', { policies, fingerprint: fingerprintOf(policies) })
    return policies
  }

  private async expireAll({ caller, signal, progress }: RetentionRun): Promise<Expired> {
    const { metadata, now, steady, usage } = this.options
    const done: Expired = { tags: 0, manifests: 0, repositories: 0 }
    const policies = await this.planNow()
    if (policies.length === 0) return done
    await usage.flush()
    const until = steady()
    for (let more = true; more; ) {
      signal?.throwIfAborted()
      if (this.stopping.signal.aborted) break
      const batch = await metadata.write('retain', { caller, at: now(), until, policies })
      more = batch.more
      done.tags += batch.tags
      done.manifests += batch.manifests
      done.repositories += batch.repositories
      this.expired.tags += batch.tags
      this.expired.manifests += batch.manifests
      progress?.(done.repositories)
    }
    return done
  }

  /** Yields the repositories that a policy governs, starting at a name. */
  private async *governed(
    policies: RetentionPolicy[],
    only: RepositoryName | undefined,
    from: string,
  ): AsyncIterable<NamedRow> {
    const { retention } = this.options.metadata
    const compiled = compilePolicies(policies)
    if (only !== undefined) {
      const found = await retention.findLocal(only)
      if (found === undefined) throw unknownRepository(only)
      yield found
      return
    }
    // The page begins in the repository of the cursor.
    const first = from === '' ? undefined : await retention.findLocal(from as RepositoryName)
    if (first !== undefined) yield first
    let after = from
    for (;;) {
      const rows = await retention.local(after, PAGE_DEFAULT)
      for (const row of rows) if (compiled.some(({ matches }) => matches(row.name))) yield row
      const end = rows.at(-1)
      if (end === undefined) return
      after = end.name
    }
  }
}

function entryOf(repository: RepositoryName, { name, verdict, ...row }: TestedTag) {
  const { expires, policy, reason } = verdict
  return { ...row, repository, tag: name, expires, policy, reason }
}

/** Parses the cursor `<milliseconds>.<repository>:<tag>`. All pages of a test use the same time. */
function parseTestCursor(text: string | undefined) {
  if (text === undefined || text === '') return undefined
  const [, at, repository = '', tag = ''] = /^(\d{1,15})\.([^:]+):(.+)$/.exec(text) ?? []
  if (at !== undefined) return { at: Number(at), repository, tag }
  throw invalidCursor()
}

const SETTINGS = Object.keys(RetentionSchema.properties) as (keyof RetentionPolicy)[]

/** Returns only the settings. */
function plainPolicies(policies: readonly RetentionPolicy[]): RetentionPolicy[] {
  const plain = (policy: RetentionPolicy) => Object.fromEntries(SETTINGS.map((name) => [name, policy[name]]))
  return policies.map((policy) => plain(policy) as unknown as RetentionPolicy)
}

/** Returns a fingerprint of the policies; 0 if there are none. */
function fingerprintOf(policies: RetentionPolicy[]): number {
  if (policies.length === 0) return 0
  return 1 + Number(BigInt.asUintN(48, BigInt(Bun.hash(JSON.stringify(policies)))))
}

/** A retention policy as the API shows it. */
export interface PolicyState extends RetentionPolicy {
  /** Where it is configured: a file, a flag or a variable; undefined if it was set with the API. */
  configuredIn: string | undefined
  version: number | undefined
}

/** The settings of a policy. Omitted ones have their defaults. */
export type PolicySettings = Pick<RetentionPolicy, 'repositories'> &
  Partial<Omit<RetentionPolicy, 'name' | 'repositories'>>

/** Manages the retention policies. Throws a RegistryError that names the configured policy that is invalid. */
function retentionPolicies({ metadata, config, settingSources }: RetentionOptions) {
  const { retention: configured } = config
  const { retention: source = 'the configuration' } = settingSources
  compilePolicies(configured)
  const twice = configured.find(({ name }, at) => configured.findIndex((one) => one.name === name) !== at)
  if (twice !== undefined)
    throw new Error(`the retention policy ${twice.name} is configured twice: remove one`)
  const names = new Set(configured.map(({ name }) => name))
  const refuseConfigured = (name: string) => {
    if (!names.has(name)) return
    throw registryError('CONFLICT', `retention policy ${name} is configured in ${source}: change it there`)
  }
  const list = async (): Promise<PolicyState[]> => {
    const rows = (await metadata.retention.policies()).filter(({ name }) => !names.has(name))
    return [
      ...configured.map((policy) => ({ ...policy, configuredIn: source, version: undefined })),
      ...rows.map(({ name, settings, version }) => ({
        ...policyOf(name, storedSettings(settings)),
        configuredIn: undefined,
        version,
      })),
    ].sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  return {
    /** Lists all policies, by name. */
    list,

    /** Throws NOT_FOUND. */
    async get(name: string): Promise<PolicyState> {
      const found = (await list()).find((policy) => policy.name === name)
      if (found !== undefined) return found
      throw registryError('NOT_FOUND', `there is no retention policy ${name}`)
    },

    /**
     * Adds or replaces a policy. Returns whether it is new.
     *
     * @throws RegistryError CONFLICT, NAME_INVALID, REQUEST_INVALID or PRECONDITION_FAILED
     */
    async put(act: Write, name: string, settings: PolicySettings): Promise<boolean> {
      refuseConfigured(name)
      policyOf(name, settings)
      return await metadata.write('putPolicy', { ...act, name, settings: JSON.stringify(settings) })
    },

    /** Throws CONFLICT, NOT_FOUND or PRECONDITION_FAILED. Tags that it has expired stay expired. */
    async remove(act: Write, name: string): Promise<void> {
      refuseConfigured(name)
      await metadata.write('removePolicy', { ...act, name })
    },
  }
}

/** Parses stored settings. Early versions wrote `immutable` instead of `includeImmutable`. */
function storedSettings(text: string): PolicySettings {
  const { immutable, ...settings } = JSON.parse(text) as PolicySettings & { immutable?: boolean }
  return immutable === undefined ? settings : { ...settings, includeImmutable: immutable }
}

/**
 * Completes the settings of a policy.
 * @throws RegistryError REQUEST_INVALID or NAME_INVALID
 */
export function policyOf(name: string, settings: PolicySettings): RetentionPolicy {
  const policy = Value.Default(RetentionSchema, { ...settings, name })
  const [error] = Value.Errors(RetentionSchema, policy)
  if (error !== undefined) {
    const what = `retention policy ${name}: ${error.path.slice(1)}: ${error.message}`
    throw registryError('REQUEST_INVALID', what)
  }
  compilePolicies([policy as RetentionPolicy])
  return policy as RetentionPolicy
}

/** Returns a run of the retention policies as the work of a job. */
export function retentionJob(retention: Retention): JobWork {
  return async ({ caller, signal, progress }) => ({ ...(await retention.run({ caller, signal, progress })) })
}
