import { EMPTY_LAYER } from '../../docker/conversion.ts'
import { newSigningKey, readSigningKey, type SigningKey } from '../../docker/signing-key.ts'
import type { LocalOptions } from '../registry/local-options.ts'
import type { ConversionStore } from './conversions.ts'

/** The fact of the installation that holds the key of conversions. */
const KEY_FACT = 'schema1-signing-key'

export type ConversionOptions = Pick<LocalOptions, 'metadata' | 'uploads' | 'locks' | 'now'>

/** Stores conversions in this data folder. */
export function localConversions({ metadata, uploads, locks, now }: ConversionOptions): ConversionStore {
  let key: Promise<SigningKey> | undefined
  const readKey = async () => {
    if (metadata.credentials.fact(KEY_FACT) === undefined) {
      await metadata.write('addFact', { name: KEY_FACT, value: newSigningKey() })
    }
    return readSigningKey(metadata.credentials.fact(KEY_FACT) ?? '')
  }
  return {
    find: (repository, digest) => metadata.conversions.find(repository, digest),

    async put(repository, source, { digest, hasEmptyLayer }) {
      const call = { ...source, at: now(), repository, digest }
      if (!hasEmptyLayer) {
        await metadata.write('putConversion', { ...call, layer: undefined })
        return
      }
      const bytes = new Uint8Array(Buffer.from(EMPTY_LAYER.base64, 'base64'))
      const upload = uploads.start(repository, 'sha256')
      try {
        await locks.push(EMPTY_LAYER.digest, async () => {
          const stream = new Blob([bytes]).stream()
          const layer = await uploads.commit(upload, EMPTY_LAYER.digest, { stream })
          await metadata.write('putConversion', { ...call, layer })
        })
      } finally {
        await uploads.cancel(upload).catch(() => {})
      }
    },

    signingKey() {
      key ??= readKey().catch((error) => {
        key = undefined
        throw error
      })
      return key
    },
  }
}
