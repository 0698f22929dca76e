import { openServices } from '../app.ts'
import type { Transport } from '../cli/client.ts'
import type { SettingSources } from '../config/config.ts'
import type { Config } from '../config/schema.ts'
import { requireRegistry } from '../data-folder/data-folder.ts'
import { listenerOptions } from '../http/clients.ts'
import { openLog } from '../runtime/log.ts'
import { ownerApi } from './administration.ts'

/** Memory for uploads: the smallest, as commands do not upload. */
const POOL_BYTES = 1024 * 1024

/**
 * Locks a data folder without a server for as long as the command runs, and serves its APIs in this process.
 *
 * @param canCreate whether to create a registry if the folder has none
 */
export async function openEmbedded(
  config: Config,
  settingSources: SettingSources,
  canCreate: boolean,
): Promise<Transport> {
  const { data, metadata = data } = config
  if (!canCreate) requireRegistry(metadata)
  const log = await openLog({ level: 'error', format: 'pretty' })
  const light = { ...config, uploads: { ...config.uploads, digesters: 1, poolBytes: POOL_BYTES } }
  const services = await openServices(light, log, { onFailure: () => {}, settingSources })
  const api = ownerApi({ ...services, ...listenerOptions(config, [], false), log })
  return {
    isEmbedded: true,
    isOwner: true,
    fetch: (path, init) => api.handle(requestOf(path, init)),
    close: () => services.close(),
  }
}

/** Builds a request as the server gets it: a body of unknown length has the header that HTTP would give it. */
function requestOf(path: string, init: RequestInit): Request {
  const request = new Request(`http://localhost${path}`, init)
  if (init.body instanceof ReadableStream) request.headers.set('transfer-encoding', 'chunked')
  return request
}
