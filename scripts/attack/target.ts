import { encode, sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType, Registry } from '../lib/registry.ts'
import { type Server, type ServerOptions, startServer } from '../lib/server.ts'

export const PASSWORD = 'correct-horse-battery'

/** The account that only the checks use; nothing of an attack names it. */
export const CHECKER = 'checker'

/** The user that attacks. It owns what begins with its name. */
export const ATTACKER = 'mallory'

/** The clients of a server. */
export interface Clients {
  url: string
  nobody: Registry
  attacker: Registry
  checker: Registry
}

/** A server with accounts, to be attacked. */
export interface Target extends Clients, AsyncDisposable {
  server: Server
  admin: Registry
}

/** The layer, the config and the manifest of the image that each repository of the target has. */
export const LAYER = new TextEncoder().encode('the only layer of an image that is attacked')
export const CONFIG = encode({
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [sha256(LAYER)] },
  history: [{ created: '2026-01-31T12:00:00Z', created_by: 'COPY . /' }],
})
export const MANIFEST = imageManifest(described(CONFIG), [described(LAYER)], 'a note')

export function described(bytes: Uint8Array) {
  return { digest: sha256(bytes), size: bytes.length }
}

/**
 * Starts the executable with accounts. It trusts loopback as a proxy, so that a client can say from which address it
 * comes, and no attack counts against the checks.
 */
export async function startTarget(options: ServerOptions = {}): Promise<Target> {
  const args = ['--trusted-proxies', '127.0.0.1', ...(options.args ?? [])]
  const env = { CAY_ADMIN_PASSWORD: PASSWORD, ...options.env }
  const server = await startServer({ ...options, access: 'accounts', args, env })
  const url = `${args.includes('--tls') ? 'https' : 'http'}://${server.address}`
  try {
    const { secret } = await clientOf(url, 'admin').api<{ secret: string }>(
      'POST',
      '/accounts/admin/tokens',
      { name: 'attack' },
    )
    // A password would be hashed again after each change of an account.
    const admin = new Registry(url, { authorization: `Bearer ${secret}` })
    for (const name of [CHECKER, ATTACKER]) await admin.api('PUT', `/users/${name}`, { password: PASSWORD })
    return { ...clientsOf(url), server, admin, [Symbol.asyncDispose]: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw error
  }
}

export function clientsOf(url: string): Clients {
  return { url, nobody: clientOf(url), attacker: clientOf(url, ATTACKER), checker: clientOf(url, CHECKER) }
}

/** A client that signs in with a password, by default PASSWORD, and that comes from an address. */
export function clientOf(url: string, name?: string, from = '198.51.100.1', password = PASSWORD): Registry {
  const authorization = `Basic ${btoa(`${name}:${password}`)}`
  return new Registry(url, { 'x-forwarded-for': from, ...(name !== undefined && { authorization }) })
}

/** Pushes the image to a repository of the client. */
export async function pushImage(client: Registry, repository: string, tag = 'latest'): Promise<void> {
  for (const blob of [CONFIG, LAYER]) await client.postBlob(repository, blob)
  await client.pushManifest(repository, tag, MANIFEST)
}

/** What must work whatever goes on beside it: a push, a pull and the sign-ins of a browser and of Docker. */
export async function checkService({ url }: Target): Promise<void> {
  // Guesses of others do not count against its address.
  const from = '198.51.100.2'
  const [checker, nobody] = [clientOf(url, CHECKER, from), clientOf(url, undefined, from)]
  const repository = `${CHECKER}/app`
  await pushImage(checker, repository)
  await checker.get(`/v2/${repository}/manifests/latest`, { accept: manifestMediaType })
  await checker.pullBlob(repository, sha256(LAYER))
  await nobody.api('POST', '/session', { username: CHECKER, password: PASSWORD })
  await checker.get(`/token?service=cay&scope=repository:${repository}:pull`)
  await nobody.get('/readyz')
}
