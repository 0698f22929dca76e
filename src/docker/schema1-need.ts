import type { Accept } from '../oci/accept.ts'
import { MEDIA_TYPE } from '../oci/media-type.ts'
import { dockerVersion, isOlder } from './user-agent.ts'

/** Who pulls a manifest, as far as it matters for what is sent. */
export interface ManifestClient {
  /** The `Accept` header, several lines of it joined. */
  accept: string | null
  userAgent(): string | null
}

/**
 * When images are converted: for clients that ask for schema 1 by name, and Docker before 1.10, which reads nothing
 * else; `always` also for those that accept anything, or do not say; `never`.
 */
export type Schema1Pulls = 'auto' | 'always' | 'never'

/** `must`: the client reads schema 1 only; `may`: it takes that as well as what is stored. */
export type Schema1Need = 'must' | 'may' | 'none'

/** The types by which schema 1 is asked for; the last one is no type of its own. */
const TYPES: readonly string[] = [
  MEDIA_TYPE.dockerSchema1Signed,
  MEDIA_TYPE.dockerSchema1,
  'application/json',
]

/** Whether a client needs schema 1, once it is known that it does not accept what is stored. */
export function schema1Need(setting: Schema1Pulls, accept: Accept, client: ManifestClient): Schema1Need {
  if (setting === 'never') return 'none'
  const { types } = accept
  if (types.has(MEDIA_TYPE.dockerSchema1Signed) || types.has(MEDIA_TYPE.dockerSchema1)) {
    return namesOthers(accept) ? 'may' : 'must'
  }
  if (readsOnlySchema1(client)) return 'must'
  return setting === 'always' && !namesOthers(accept) ? 'may' : 'none'
}

function namesOthers({ types, ranges }: Accept): boolean {
  return ranges.size > 0 || [...types].some((type) => !TYPES.includes(type))
}

/** Whether a client that reads schema 1 reads it only with a signature, as Docker does. */
export function readsOnlySigned({ types }: Accept, client: ManifestClient): boolean {
  return types.has(MEDIA_TYPE.dockerSchema1Signed) || readsOnlySchema1(client)
}

function readsOnlySchema1(client: ManifestClient): boolean {
  return isOlder(dockerVersion(client.userAgent()), 1, 10)
}

/** Whether a client takes schema 1 only without a signature, which Docker itself does not. */
export function wantsUnsigned({ types }: Accept): boolean {
  return types.has(MEDIA_TYPE.dockerSchema1) && !types.has(MEDIA_TYPE.dockerSchema1Signed)
}
