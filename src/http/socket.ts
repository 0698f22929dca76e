import { removeSocket, socketPath } from '../data-folder/data-folder.ts'
import { onDemand } from './on-demand.ts'
import type { OwnerOptions } from './owner-api.ts'

/** Serves the owner's API on `<data>/cay.sock`, which only its owner can open: how commands reach a running server. */
export function serveSocket(data: string, options: OwnerOptions): { stop(): Promise<void> } {
  removeSocket(data)
  const fetch = onDemand(
    () => import('./owner-api.ts'),
    ({ ownerApi }) => ownerApi(options),
  )
  const umask = process.umask(0o177)
  try {
    const server = Bun.serve({ unix: socketPath(data), fetch })
    return {
      async stop() {
        await server.stop()
        removeSocket(data)
      },
    }
  } finally {
    process.umask(umask)
  }
}
