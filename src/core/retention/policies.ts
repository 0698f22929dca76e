import { Value } from '@sinclair/typebox/value'
import { RetentionSchema } from '../../config/retention-schema.ts'
import type { Write } from '../../domain/access/caller.ts'
import { compilePolicies, type RetentionPolicy } from '../../domain/retention/retention-policy.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'

/** A retention policy as the API shows it. */
export interface PolicyState extends RetentionPolicy {
  /** Where it is configured; undefined if it was set with the API. */
  configuredIn: string | undefined
  version: number | undefined
}

/** The settings of a policy. Omitted ones have their defaults. */
export type PolicySettings = Pick<RetentionPolicy, 'repositories'> &
  Partial<Omit<RetentionPolicy, 'name' | 'repositories'>>

export interface PolicyOptions {
  metadata: Metadata
  /** The configured policies, which the API cannot change. */
  configured: readonly RetentionPolicy[]
  /** Where they are configured: a file, a flag or a variable. */
  source: string | undefined
}

export type Policies = ReturnType<typeof retentionPolicies>

/**
 * Manages the retention policies. A configured policy overrides one of the same name that was set with the API.
 *
 * @throws RegistryError that names the configured policy that is invalid
 */
export function retentionPolicies({ metadata, configured, source = 'the configuration' }: PolicyOptions) {
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
      ...rows.map(({ name, settings, version }) => {
        return { ...policyOf(name, storedSettings(settings)), configuredIn: undefined, version }
      }),
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
  if (error !== undefined)
    throw registryError(
      'REQUEST_INVALID',
      `retention policy ${name}: ${error.path.slice(1)}: ${error.message}`,
    )
  compilePolicies([policy as RetentionPolicy])
  return policy as RetentionPolicy
}
