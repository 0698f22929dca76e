import { onDemand } from './on-demand.ts'
import type { OwnerOptions } from './owner-api.ts'

/** Serves the owner's API on a socket that only its owner can open. Commands use it to reach a running server. */
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
