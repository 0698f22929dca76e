import { expectStatus } from './push.ts'
import { type StartTestServer, startInProcess, type TestServer, type TestServerOptions } from './server.ts'

export const PASSWORD = 'correct-horse'

/** A registry with accounts, and functions that send requests as one of them. */
export interface AccountsServer extends TestServer {
  /** Calls the admin API as the server admin; returns the JSON, or undefined for a response without a body. */
  admin<T = unknown>(method: string, path: string, body?: unknown): Promise<T>
  /** Adds a user with PASSWORD. */
  addUser(name: string): Promise<void>
  grant(subject: string, pattern: string, role: 'reader' | 'writer' | 'admin'): Promise<void>
  /** Creates a token; returns the response of the admin API. */
  addToken(account: string, more?: object): Promise<{ id: string; secret: string }>
  /** Gets a token from /token for some scopes, with Basic or anonymously. */
  tokenFor(credential: string | undefined, ...scopes: string[]): Promise<string>
  /** Returns the same server with an Authorization header; undefined is anonymous. */
  as(authorization: string | undefined): TestServer
}

/** Returns the Authorization header for a name and a password. */
export function basic(name: string, password = PASSWORD): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
}

export function bearer(token: string): string {
  return `Bearer ${token}`
}

/** Starts a registry with accounts, whose server admin is `admin` with PASSWORD. */
export async function startWithAccounts(
  options: TestServerOptions = {},
  start: StartTestServer = startInProcess,
): Promise<AccountsServer> {
  const settings = { access: 'accounts', ...options.settings }
  const server = await start({ adminPassword: PASSWORD, ...options, settings })
  // A password would be hashed again after each change of an account.
  let authorization = basic('admin')
  const admin = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await server.fetch(`/api/v1${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}: ${await response.text()}`)
    return (response.status === 204 ? undefined : await response.json()) as T
  }
  const token = await admin<{ secret: string }>('POST', '/accounts/admin/tokens', { name: 'tests' })
  authorization = bearer(token.secret)
  return {
    ...server,
    admin,
    async addUser(name) {
      await admin('PUT', `/users/${name}`, { password: PASSWORD })
    },
    async grant(subject, pattern, role) {
      await admin('PUT', '/grants', { subject, pattern, role })
    },
    addToken: (account, more) =>
      admin('POST', `/accounts/${encodeURIComponent(account)}/tokens`, { name: 'test', ...more }),
    async tokenFor(credential, ...scopes) {
      const query = new URLSearchParams(scopes.map((scope): [string, string] => ['scope', scope]))
      const headers: Record<string, string> = credential === undefined ? {} : { authorization: credential }
      const response = await expectStatus(await server.fetch(`/token?${query}`, { headers }), 200)
      return ((await response.json()) as { token: string }).token
    },
    as: (authorization) => ({
      ...server,
      fetch: (path, init = {}) => {
        const headers = new Headers(init.headers)
        if (authorization !== undefined) headers.set('authorization', authorization)
        return server.fetch(path, { ...init, headers })
      },
    }),
  }
}
