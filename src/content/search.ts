import type { Principal } from '../access/access.ts'
import { cutLabel } from '../oci/image-config.ts'
import { digestRange } from '../oci/reference.ts'
import type { ContentParts } from './content.ts'
import { RESULTS_MAX } from './limits.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    search: ReturnType<typeof searchService>
  }
}

/** A text that can only begin a digest; the algorithm can be left out. */
const DIGEST_PREFIX = /^(?:sha256:|sha512:)?([0-9a-f]{6,128})$/i
const TAG_PREFIX = /^\w[\w.-]{0,127}$/

/** Searches everything that a caller may pull. What is deleted or has expired is not found. */
export function searchService({ metadata, descriptions, now }: ContentParts) {
  const { kindOf } = descriptions
  return {
    /**
     * Finds repositories that contain the text in their name or description, tags that begin with it, and manifests
     * whose digest or a label does. `NAME:TAG` finds tags in the repositories whose name contains NAME.
     */
    async find(principal: Principal, text: string) {
      const set = principal.pullable()
      const { rows, next } = await metadata.catalog.repositories(set, text, '', RESULTS_MAX)
      const colon = text.lastIndexOf(':')
      const [within, prefix] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)]
      const tags = TAG_PREFIX.test(prefix)
        ? await metadata.findTags(set, { prefix, within, limit: RESULTS_MAX, now: now() })
        : NONE
      const range = rangeOf(text)
      const manifests = range === undefined ? NONE : await metadata.findManifests(set, range, RESULTS_MAX)
      const label = cutLabel(text)
      const labels =
        label === ''
          ? NONE
          : await metadata.findLabels(set, { prefix: label, limit: RESULTS_MAX, now: now() })
      return {
        repositories: { items: rows, truncated: next !== undefined },
        tags: groupOf(tags, (row) => ({ ...row, kind: kindOf({ ...row, digest: row.storedAs }) })),
        manifests: groupOf(manifests, (row) => ({ ...row, kind: kindOf(row) })),
        labels: groupOf(labels, (row) => ({ ...row, kind: kindOf(row) })),
      }
    },
  }
}

const NONE = { rows: [], hasMore: false }

/** Returns the results of one kind, and whether there may be more. */
function groupOf<T, U>({ rows, hasMore }: { rows: T[]; hasMore: boolean }, toItem: (row: T) => U) {
  return { items: rows.map(toItem), truncated: hasMore }
}

/** Returns the digests that begin with the text; undefined if it begins none. */
function rangeOf(text: string) {
  const [, hex = ''] = DIGEST_PREFIX.exec(text) ?? []
  if (hex === '') return undefined
  const algorithm = text.toLowerCase().startsWith('sha512:') || hex.length > 64 ? 'sha512' : 'sha256'
  return algorithm === 'sha256' && hex.length > 64
    ? undefined
    : digestRange(`${algorithm}:${hex.toLowerCase()}`)
}
