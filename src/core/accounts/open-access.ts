import type { Caller } from '../../domain/access/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'

/**
 * Refuses changes of accounts over the network when access is `open`. Nobody signs in then, so anyone who reaches the
 * server could otherwise create an admin or a token that still works after accounts are switched on. Commands on the
 * host act as its owner and remain allowed.
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
