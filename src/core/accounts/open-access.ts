import type { Caller } from '../../domain/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'

/**
 * With access `open` nobody signs in, so anybody who reaches the server could make an admin, or a token, that is still
 * there when accounts are switched on. Accounts are changed on the host only then: by commands, which act as its owner.
 */
export function refuseStrangers(metadata: Metadata): Metadata {
  const write: Metadata['write'] = (name, args, moved) => {
    const { caller } = args as { caller?: Caller }
    if (caller?.account !== undefined) return metadata.write(name, args, moved)
    const message =
      'with access "open", accounts and grants are changed only by commands on the host of the server'
    return Promise.reject(registryError('DENIED', message))
  }
  return { ...metadata, write }
}
