import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Elysia } from 'elysia'
import type { Auth } from '../auth/auth.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { type Identity, NOBODY } from '../registry/access.ts'
import { adminApi } from './admin/api.ts'
import { adminContext } from './admin/context.ts'
import { requestIds } from './server.ts'

/** Who speaks through the socket: whoever may open it is the owner of the data folder. */
const OWNER: Identity = Object.freeze({ ...NOBODY, account: 'owner (socket)', isAdmin: true })

export interface SocketOptions {
  auth: Auth
  metadata: Metadata
  onPasswordChanged: (account: string) => void
}

/** The path of a data folder's socket. */
export function socketPath(data: string): string {
  return join(data, 'cay.sock')
}

/** The admin API for the owner of the data folder, who needs no credential. */
export function ownerApi({ auth, metadata, onPasswordChanged }: SocketOptions) {
  const context = adminContext({
    metadata,
    auth,
    authenticate: () => OWNER,
    addressOf: () => 'socket',
    nextRequestId: requestIds(),
    onPasswordChanged,
  })
  return new Elysia().use(adminApi(context))
}

/** Serves the owner's API on `<data>/cay.sock`, which only its owner can open: how commands reach a running server. */
export function serveSocket(data: string, options: SocketOptions): { stop(): Promise<void> } {
  const path = socketPath(data)
  rmSync(path, { force: true })
  const app = ownerApi(options)
  const server = Bun.serve({ unix: path, fetch: (request) => app.handle(request) })
  chmodSync(path, 0o600)
  return {
    async stop() {
      await server.stop()
      rmSync(path, { force: true })
    },
  }
}
