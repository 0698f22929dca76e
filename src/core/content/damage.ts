import type { Damage, NeededBy } from '../../metadata/content/damage.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { turn } from '../../turn.ts'
import type { Damaged } from '../registry/damaged.ts'

/** Content in quarantine, with the repositories and tags that need it. */
export interface DescribedDamage extends Damage {
  neededBy: NeededBy[]
}

/** Lists damaged content. */
export function damageService(metadata: Metadata, damaged: Damaged) {
  const isHealed = async ({ digest, kind, size }: Damage) =>
    kind === 'blob'
      ? !metadata.blobs.isStored(digest) || (await damaged.hasBytes(digest, size))
      : metadata.manifests.findBytes(digest) !== undefined
  return {
    /** Counts damaged content, including content that was pushed again since the last list. */
    count: () => metadata.damage.count(),

    /** Lists the content that is still damaged, the newest first, and drops what was pushed again. */
    async list(): Promise<DescribedDamage[]> {
      const found: DescribedDamage[] = []
      const healed: Damage['digest'][] = []
      for (const one of await metadata.damage.list()) {
        await turn()
        if (await isHealed(one)) healed.push(one.digest)
        else found.push({ ...one, neededBy: await metadata.damage.neededBy(one) })
      }
      if (healed.length > 0) await metadata.write('noteHealed', { digests: healed })
      return found
    },
  }
}
