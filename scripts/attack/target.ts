import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { type Server, type ServerOptions, startServer } from '../lib/server.ts'

export const PASSWORD = 'correct-horse-battery'

/** The account that only the checks use; nothing of an attack names it. */
export const CHECKER = 'checker'

/** The users that attack. Each owns what begins with its name. */
export const ATTACKER = 'mallory'

/** Something that was asked, and what came back as JSON, or as text. */
export interface Asked {
  status: number
  headers: Headers
  json: Record<string, unknown>
}

/** A server, as its clients see it. */
export interface Client {
  url: string
  /** Sends a request as somebody; an object is sent as JSON. Clients with different `from` have different addresses. */
  ask(method: string, path: string, options?: AskOptions): Promise<Asked>
}

/** A server with accounts and some content, to be attacked. */
export interface Target extends Client, AsyncDisposable {
  server: Server
  /** As the server admin; throws unless the answer is a success. */
  admin(method: string, path: string, body?: object): Promise<Asked>
}

export interface AskOptions {
  /** `name:password` */
  as?: string
  from?: string
  headers?: Record<string, string>
  body?: object | string | Uint8Array<ArrayBuffer>
}

/** The layer, the config and the manifest of the image that each repository of the target has. */
export const LAYER = new TextEncoder().encode('the only layer of an image that is attacked')
export const CONFIG = new TextEncoder().encode(
  JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [sha256(LAYER)] },
    history: [{ created: '2026-01-31T12:00:00Z', created_by: 'COPY . /' }],
  }),
)
export const MANIFEST = imageManifest(
  { digest: sha256(CONFIG), size: CONFIG.length },
  [{ digest: sha256(LAYER), size: LAYER.length }],
  'a note',
)

/**
 * Starts the executable with accounts. It trusts loopback as a proxy, so that a client can say from which address it
 * comes, and no attack counts against the checks.
 */
export async function startTarget(options: ServerOptions = {}): Promise<Target> {
  const args = ['--trusted-proxies', '127.0.0.1', ...(options.args ?? [])]
  const env = { CAY_ADMIN_PASSWORD: PASSWORD, ...options.env }
  const server = await startServer({ ...options, access: 'accounts', args, env })
  const isTls = args.includes('--tls')
  const url = `${isTls ? 'https' : 'http'}://${server.address}`
  const { ask } = clientOf(url)
  const token = (await ask('POST', '/api/v1/accounts/admin/tokens', {
    as: `admin:${PASSWORD}`,
    body: { name: 'attack' },
  })) satisfies Asked
  const authorization = `Bearer ${token.json.secret}`
  const admin: Target['admin'] = async (method, path, body) => {
    const answer = await ask(method, path, { headers: { authorization }, ...(body && { body }) })
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.json)}`)
    return answer
  }
  const target = { url, server, ask, admin, [Symbol.asyncDispose]: () => server.stop() }
  try {
    for (const name of [CHECKER, ATTACKER])
      await admin('PUT', `/api/v1/users/${name}`, { password: PASSWORD })
    return target
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** A client of the server at a URL. */
export function clientOf(url: string): Client {
  const ask: Client['ask'] = async (method, path, { as, from = '198.51.100.1', headers, body } = {}) => {
    const isBytes = typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(new URL(path, url), {
      method,
      headers: {
        'x-forwarded-for': from,
        ...(as !== undefined && { authorization: `Basic ${btoa(as)}` }),
        ...(body !== undefined && !isBytes && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: isBytes ? body : JSON.stringify(body) }),
      redirect: 'manual',
      signal: AbortSignal.timeout(60_000),
      tls: { rejectUnauthorized: false },
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, json: parsed(text) }
  }
  return { url, ask }
}

/** Pushes the image as its owner. */
export async function pushImage(
  { ask }: Client,
  repository: string,
  tag: string,
  as: string,
  from?: string,
): Promise<void> {
  const expect = async (status: number, method: string, path: string, options: AskOptions = {}) => {
    const answer = await ask(method, path, { as, ...(from && { from }), ...options })
    if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status}, not ${status}`)
    return answer
  }
  for (const body of [CONFIG, LAYER]) {
    await expect(201, 'POST', `/v2/${repository}/blobs/uploads/?digest=${sha256(body)}`, { body })
  }
  const headers = { 'content-type': manifestMediaType }
  await expect(201, 'PUT', `/v2/${repository}/manifests/${tag}`, { headers, body: MANIFEST })
}

/** What must work whatever goes on beside it: a push, a pull and the sign-ins of a browser and of Docker. */
export async function checkService(target: Target): Promise<void> {
  // Guesses of others do not count against its address.
  const from = '198.51.100.2'
  const as = `${CHECKER}:${PASSWORD}`
  const repository = `${CHECKER}/app`
  await pushImage(target, repository, 'latest', as, from)
  const requests: [number, string, string, AskOptions][] = [
    [200, 'GET', `/v2/${repository}/manifests/latest`, { as, headers: { accept: manifestMediaType } }],
    [200, 'GET', `/v2/${repository}/blobs/${sha256(LAYER)}`, { as }],
    [201, 'POST', '/api/v1/session', { body: { username: CHECKER, password: PASSWORD } }],
    [200, 'GET', `/token?service=cay&scope=repository:${repository}:pull`, { as }],
    [200, 'GET', '/readyz', {}],
  ]
  for (const [status, method, path, options] of requests) {
    const answer = await target.ask(method, path, { from, ...options })
    if (answer.status === status) continue
    throw new Error(`${method} ${path}: ${answer.status}, not ${status}: ${JSON.stringify(answer.json)}`)
  }
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text)
  } catch {
    return { text: text.slice(0, 1000) }
  }
}
