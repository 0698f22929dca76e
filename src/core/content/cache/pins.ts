import type { Write } from '../../../domain/access/caller.ts'
import { parseRepositoryPattern } from '../../../domain/repository-pattern.ts'
import type { Pin } from '../../../metadata/cache/pins.ts'
import type { Metadata } from '../../../metadata/metadata.ts'
import { formatReference, parseReference } from '../../../oci/reference.ts'

export type { Pin }

/** Pins: cached content that is never evicted. */
export function pinService(metadata: Metadata) {
  return {
    /** Lists the pins, or those with a pattern or a reference. */
    async list({ pattern, reference }: Partial<Pick<Pin, 'pattern' | 'reference'>> = {}) {
      const pins = await metadata.pins.list()
      return pins.filter(
        (pin) =>
          (pattern === undefined || pin.pattern === pattern) &&
          (reference === undefined || pin.reference === reference),
      )
    },

    /** Pins what a pattern and a reference name; without a reference, everything in the repositories. */
    async add(act: Write, pattern: string, reference = '') {
      return await metadata.write('addPin', { ...act, ...parsePin(pattern, reference) })
    },

    /** Throws NOT_FOUND. */
    async remove(act: Write, pattern: string, reference = ''): Promise<void> {
      await metadata.write('removePin', { ...act, ...parsePin(pattern, reference) })
    },
  }
}

function parsePin(pattern: string, reference: string) {
  const named = reference === '' ? '' : formatReference(parseReference(reference))
  return { pattern: parseRepositoryPattern(pattern).text, reference: named }
}
