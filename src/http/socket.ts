import { onDemand } from './on-demand.ts'
import type { OwnerOptions } from './owner-api.ts'

/**
 * Opens the socket through which commands reach the server. Without it the server works, too.
 *
 * @param remove removes what is at the path
 */
export function openSocket(path: string, remove: () => void, options: OwnerOptions) {
  try {
    remove()
    const socket = serveSocket(path, options)
    return {
      async stop() {
        await socket.stop()
        remove()
      },
    }
  } catch (cause) {
    options.log.warn({ cause }, `cannot create the socket ${path}: commands cannot reach this server`)
    return { stop: async () => {} }
  }
}

/** Serves the owner's API on a socket that only its owner can open. */
export function serveSocket(path: string, options: OwnerOptions): { stop(): Promise<void> } {
  const fetch = onDemand(
    () => import('./owner-api.ts'),
    ({ ownerApi }) => ownerApi(options),
  )
  const umask = process.umask(0o177)
  try {
    const server = Bun.serve({ unix: path, fetch })
    return { stop: () => server.stop() }
  } finally {
    process.umask(umask)
  }
}
