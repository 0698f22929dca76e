import { TOKEN_PREFIX } from '../../domain/access/authentication.ts'
import { RegistryError, registryError } from '../../oci/error.ts'
import { SMALL_BODY_BYTES_MAX } from '../request/bodies.ts'
import { parseJson } from '../request/body.ts'
import type { V1Context, V1Exchange } from './exchange.ts'

/**
 * Responds to the first request of `docker login`, which asks to create the account. It is never created: with the
 * correct password the response says that the name is taken, and Docker continues.
 */
export async function postUser({ context, request }: V1Exchange<'users'>): Promise<Response> {
  const { username, password } = await readJson(context, request)
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw registryError('REQUEST_INVALID', '"username" or "password" is missing in the body')
  }
  try {
    await context.sessions.authenticatePassword(request, username, password)
  } catch (error) {
    if (!(error instanceof RegistryError) || error.status !== 401) throw error
    return json(400, { error: error.entries[0]?.message, issue: issueOf(username, password) })
  }
  return json(400, 'Username or email already exists')
}

/** Returns the signed-in account. */
export async function getUser({ identity }: V1Exchange<'users'>): Promise<Response> {
  return json(200, { username: identity.account ?? null, email: null })
}

/** Changes the password of an account. */
export async function putUser(exchange: V1Exchange<'user'>): Promise<Response> {
  const { context, request, identity, path, requestId } = exchange
  const { password } = await readJson(context, request)
  if (typeof password !== 'string')
    throw registryError('REQUEST_INVALID', '"password" is missing in the body')
  const { account, credential } = identity
  const caller = { account, credential, address: context.addressOf(request), requestId }
  await context.accounts.users.change({ caller, at: context.now() }, path.account, { password })
  return new Response(null, { status: 204 })
}

/** Returns the reason in the terms of V1 clients. */
function issueOf(name: string, password: string): string {
  if (password.startsWith(TOKEN_PREFIX)) return 'invalid-access-token'
  return name.includes('+') ? 'robot-login-failure' : 'login-failure'
}

async function readJson({ bodies, sourceOf }: V1Context, request: Request): Promise<Record<string, unknown>> {
  return await bodies.signIn.read(sourceOf(request), SMALL_BODY_BYTES_MAX, async (bytes) => {
    try {
      const value = parseJson(bytes)
      if (typeof value === 'object' && value !== null) return { ...value }
    } catch {}
    throw registryError('REQUEST_INVALID', 'the body is not a JSON object')
  })
}

function json(status: number, value: unknown): Response {
  return new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json' } })
}
