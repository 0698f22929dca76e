import { LRUCache } from 'lru-cache'
import { type Freeable, fullDenied, fullQuotaOf } from '../../domain/quota.ts'
import type { Metadata } from '../../metadata/metadata.ts'

/** How long the deleted bytes of a namespace are cached, so that repeated refusals are cheap. */
const REMEMBERED_MS = 5000
const NAMESPACES_MAX = 1000

/** Adds to the error of a full quota how much deleted content still counts. Resolves to the error to throw. */
export type ExplainDenial = (error: unknown) => Promise<unknown>

export function denialExplainer({ quotas }: Pick<Metadata, 'quotas'>): ExplainDenial {
  const known = new LRUCache<string, Promise<Freeable>>({ max: NAMESPACES_MAX, ttl: REMEMBERED_MS })
  return async (error) => {
    const full = fullQuotaOf(error)
    if (full === undefined) return error
    const freeable = known.get(full.quota) ?? quotas.deleted(full.quota)
    known.set(full.quota, freeable, { noUpdateTTL: true })
    return await freeable.then(
      (found) => fullDenied(full, found),
      () => error,
    )
  }
}

/** Wraps metadata so that errors of full quotas are explained. */
export function explainingDenials(metadata: Metadata, explain: ExplainDenial): Metadata {
  const write: Metadata['write'] = async (...call) => {
    try {
      return await metadata.write(...call)
    } catch (error) {
      throw await explain(error)
    }
  }
  return { ...metadata, write }
}
