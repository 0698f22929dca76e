import { RegistryError, registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** The names of the quotas for each namespace without its own, and for the whole server. */
export const EACH_NAMESPACE = '*'
export const WHOLE_SERVER = '**'

/** How much a namespace can hold. Undefined is no limit. */
export interface QuotaLimits {
  /** The bytes of distinct blobs and of manifests, including deleted content that is not yet collected. */
  bytesMax?: number | undefined
  repositoriesMax?: number | undefined
  tagsMax?: number | undefined
}

export interface Quota extends QuotaLimits {
  /** The first component of repository names, `*` for each without a quota of its own, or `**` for the whole server. */
  namespace: string
}

/** How much a namespace, or the whole server, holds. */
export interface QuotaUsage {
  bytes: number
  repositories: number
  tags: number
}

/** The namespace of a repository: the first component of its name. */
export function namespaceOf(repository: RepositoryName): string {
  const slash = repository.indexOf('/')
  return slash < 0 ? repository : repository.slice(0, slash)
}

/** A quota that applies to a namespace, and whether it counts the usage of the namespace or of the whole server. */
export interface AppliedQuota extends Quota {
  /** The namespace whose usage counts; `**` for the whole server. */
  counted: string
}

/** Returns the quotas that apply to a namespace: its own or the default, and that of the whole server. */
export function quotasFor(quotas: readonly Quota[], namespace: string): AppliedQuota[] {
  const find = (name: string) => quotas.find((quota) => quota.namespace === name)
  const own = find(namespace) ?? find(EACH_NAMESPACE)
  const server = find(WHOLE_SERVER)
  const applied: AppliedQuota[] = []
  if (own !== undefined) applied.push({ ...own, counted: namespace })
  if (server !== undefined) applied.push({ ...server, counted: WHOLE_SERVER })
  return applied
}

/** Throws DENIED if the usage has grown above a limit. */
export function checkQuota(quota: AppliedQuota, before: QuotaUsage, after: QuotaUsage): void {
  const { bytesMax, repositoriesMax, tagsMax } = quota
  const isPassed = (limit: number | undefined, was: number, is: number) =>
    limit !== undefined && is > limit && is > was
  if (isPassed(bytesMax, before.bytes, after.bytes)) throw bytesDenied(quota, before.bytes)
  const refuse = (state: string) => {
    const advice = 'delete some, or ask an admin for a larger quota'
    throw registryError('DENIED', `${nameOf(quota.counted)} is full: ${state}; ${advice}`)
  }
  if (isPassed(repositoriesMax, before.repositories, after.repositories))
    refuse(`${before.repositories} of ${repositoriesMax} repositories exist`)
  if (isPassed(tagsMax, before.tags, after.tags)) refuse(`${before.tags} of ${tagsMax} tags exist`)
}

/** What the error of a full quota says. */
export interface FullQuota {
  /** The namespace; `**` for the whole server. */
  quota: string
  usedBytes: number
  maxBytes: number
  uploadingBytes: number
}

/** How much of the used bytes a purge would free. */
export interface Freeable {
  bytes: number
  /** Whether there may be more, because not every blob was examined. */
  isPart: boolean
}

/** Returns the error for bytes that exceed a quota. `uploading` are the bytes of uploads in progress. */
export function bytesDenied({ counted, bytesMax = 0 }: AppliedQuota, used: number, uploading = 0) {
  return fullDenied({ quota: counted, usedBytes: used, maxBytes: bytesMax, uploadingBytes: uploading })
}

/** Returns the same error with how much of the used bytes is deleted content. */
export function fullDenied(full: FullQuota, freeable?: Freeable): RegistryError {
  const { quota, usedBytes, maxBytes, uploadingBytes } = full
  const others = uploadingBytes === 0 ? '' : `, and uploads in progress have ${sizeOf(uploadingBytes)}`
  const { bytes = 0, isPart = false } = freeable ?? {}
  const deleted =
    bytes === 0 ? '' : `; ${isPart ? 'at least ' : ''}${sizeOf(bytes)} of it is deleted or untagged`
  const help = bytes === 0 ? 'delete content and free its space' : 'an admin of a repository frees that'
  return registryError(
    'DENIED',
    `${nameOf(quota)} is full: ${sizeOf(usedBytes)} of ${sizeOf(maxBytes)} are used${others}${deleted}; ` +
      `${help} with cay repo purge REPOSITORY, or ask an admin of the server for a larger quota`,
    { detail: { ...full, ...(freeable && { deletedBytes: bytes }) } },
  )
}

/** Returns what the error of a full quota says, or undefined for any other error. */
export function fullQuotaOf(error: unknown): FullQuota | undefined {
  if (!(error instanceof RegistryError) || error.entries[0]?.code !== 'DENIED') return undefined
  const { detail } = error.entries[0]
  const isFull = typeof detail === 'object' && detail !== null && 'quota' in detail && 'usedBytes' in detail
  return isFull ? (detail as FullQuota) : undefined
}

function nameOf(counted: string): string {
  return counted === WHOLE_SERVER ? 'the quota of this server' : `the quota of the namespace ${counted}`
}

function sizeOf(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}
