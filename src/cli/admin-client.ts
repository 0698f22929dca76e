import { existsSync } from 'node:fs'
import { openAuth } from '../auth/auth.ts'
import { FIRST_ADMIN } from '../auth/first-admin.ts'
import type { Config } from '../config-schema.ts'
import { openDataFolder, socketPath } from '../data-folder.ts'
import { ownerApi } from '../http/socket.ts'
import { openLog } from '../log.ts'
import { PasswordFile } from '../password-file.ts'

/** Speaks to the admin API: of the running server through its socket, or alone on the data folder. */
export interface AdminClient {
  /** Throws an Error with the server's message when it refuses. */
  request<T>(method: string, path: string, body?: unknown): Promise<T>
  close(): Promise<void>
}

/** A running server is asked; without one, this process takes the data folder for as long as the command lasts. */
export async function openAdminClient(config: Config): Promise<AdminClient> {
  const socket = socketPath(config.data)
  if (existsSync(socket) && (await answers(socket))) {
    return client(
      (url, init) => fetch(url, { ...init, unix: socket }),
      async () => {},
    )
  }
  const folder = await openDataFolder(config, () => {})
  const auth = await openAuth(folder.metadata, config.access, Date.now)
  const file = new PasswordFile(config.data)
  const api = ownerApi({
    auth,
    metadata: folder.metadata,
    now: Date.now,
    log: openLog({ level: 'error', format: 'pretty' }),
    onPasswordChanged: (account) => account === FIRST_ADMIN && file.remove(),
  })
  return client(
    (url, init) => api.handle(new Request(url, init)),
    () => folder.close(),
  )
}

/** All entries of a list, page by page. */
export async function listAll(client: AdminClient, list: string): Promise<unknown[]> {
  const found: unknown[] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const query: string = last === '' ? '' : `?${new URLSearchParams({ last })}`
    const page: { items: unknown[]; next?: string } = await client.request('GET', list + query)
    found.push(...page.items)
    last = page.next
  }
  return found
}

type Send = (url: string, init: RequestInit) => Promise<Response>

function client(send: Send, close: () => Promise<void>): AdminClient {
  return {
    close,
    async request<T>(method: string, path: string, body?: unknown): Promise<T> {
      const init: RequestInit = { method }
      if (body !== undefined) {
        init.body = JSON.stringify(body)
        init.headers = { 'content-type': 'application/json' }
      }
      const response = await send(`http://localhost/api/v1${path}`, init)
      const answer = (await response.json()) as T & { errors?: { message: string }[] }
      if (response.ok) return answer
      throw new Error(answer.errors?.[0]?.message ?? `the server answered ${response.status}`)
    },
  }
}

/** A socket that a crash has left does not answer. */
async function answers(socket: string): Promise<boolean> {
  try {
    await fetch('http://localhost/api/v1/users', { unix: socket, method: 'HEAD' })
    return true
  } catch {
    return false
  }
}
