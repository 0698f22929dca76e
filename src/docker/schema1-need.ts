import { type Accept, MEDIA_TYPE } from '../oci/media-type.ts'

/** The properties of a client that determine which manifest it is sent. */
export interface ManifestClient {
  /** The `Accept` header, with several lines joined. */
  accept: string | null
  userAgent(): string | null
}

/**
 * When images are converted. `auto` converts for clients that ask for schema 1 by name and for Docker before 1.10,
 * which reads nothing else. `always` also converts for clients that accept anything or send no Accept header.
 */
export type Schema1Pulls = 'auto' | 'always' | 'never'

/** `must`: the client reads only schema 1. `may`: it accepts schema 1 as well as what is stored. */
export type Schema1Need = 'must' | 'may' | 'none'

const { dockerSchema1: UNSIGNED, dockerSchema1Signed: SIGNED } = MEDIA_TYPE

/** The types by which clients ask for schema 1. The last one is not specific to it. */
const TYPES: readonly string[] = [SIGNED, UNSIGNED, 'application/json']

/** Returns whether a client that does not accept what is stored needs schema 1. */
export function schema1Need(setting: Schema1Pulls, accept: Accept, client: ManifestClient): Schema1Need {
  if (setting === 'never') return 'none'
  const { types } = accept
  if (types.has(SIGNED) || types.has(UNSIGNED)) return namesOthers(accept) ? 'may' : 'must'
  if (readsOnlySchema1(client)) return 'must'
  return setting === 'always' && !namesOthers(accept) ? 'may' : 'none'
}

function namesOthers({ types, ranges }: Accept): boolean {
  return ranges.size > 0 || [...types].some((type) => !TYPES.includes(type))
}

/** Reports whether a client reads schema 1 only with a signature, as Docker does. */
export function readsOnlySigned({ types }: Accept, client: ManifestClient): boolean {
  return types.has(SIGNED) || readsOnlySchema1(client)
}

function readsOnlySchema1(client: ManifestClient): boolean {
  return isOlder(dockerVersion(client.userAgent()), 1, 10)
}

/** Reports whether a client accepts schema 1 only without a signature. Docker itself never does. */
export function wantsUnsigned({ types }: Accept): boolean {
  return types.has(UNSIGNED) && !types.has(SIGNED)
}

/** A version of the Docker engine, such as `docker/1.9.1 go/go1.4.2 ...` in its User-Agent. */
type DockerVersion = { major: number; minor: number }

/** Returns the version of the Docker engine, or undefined for every other client. */
export function dockerVersion(userAgent: string | null): DockerVersion | undefined {
  const match = /^docker\/(\d{1,4})\.(\d{1,4})(?!\d)/.exec(userAgent ?? '')
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined
}

/** Reports whether this version is older than `major.minor`. */
export function isOlder(version: DockerVersion | undefined, major: number, minor: number): boolean {
  if (version === undefined) return false
  return version.major < major || (version.major === major && version.minor < minor)
}
