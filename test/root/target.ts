import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { encode, mediaTypes, sha256 } from '../../scripts/lib/image.ts'
import { imageManifest, manifestMediaType, Registry } from '../../scripts/lib/registry.ts'
import { type Server, type ServerOptions, startServer } from '../../scripts/lib/server.ts'

export const PASSWORD = 'correct-horse-battery'

/** The account that only the checks use; nothing of an attack names it. */
export const CHECKER = 'checker'

/** The user that attacks. It owns what begins with its name. */
export const ATTACKER = 'mallory'

/** A server with accounts, to be attacked. */
export interface Target extends AsyncDisposable {
  url: string
  server: Server
  admin: Registry
  nobody: Registry
  attacker: Registry
  checker: Registry
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
    const [nobody, attacker, checker] = [clientOf(url), clientOf(url, ATTACKER), clientOf(url, CHECKER)]
    return { url, server, admin, nobody, attacker, checker, [Symbol.asyncDispose]: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw error
  }
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

/** Returns a manifest with as many annotations as there may be: with 200,000 it is refused. */
export function largeManifest(): string {
  const annotations = Object.fromEntries(Array.from({ length: 49_000 }, (_, i) => [`k${i}`, 'v'.repeat(60)]))
  const config = { mediaType: mediaTypes.config, ...described(CONFIG) }
  return JSON.stringify({ schemaVersion: 2, mediaType: manifestMediaType, config, layers: [], annotations })
}

/** How long a server may be silent after the whole request, and again after the client's end of the connection. */
const PATIENCE_MILLISECONDS = 1000
const HANG_MILLISECONDS = 15_000

/** No more of an answer is read. */
const ANSWER_BYTES_MAX = 1024 * 1024

export interface RawAnswer {
  /** Of each answer that began, in their order. */
  statuses: number[]
  text: string
  /** Neither an answer came, nor did the server close the connection. */
  isHang: boolean
}

/**
 * Sends bytes as they are, in parts, and reads what comes back. When nothing does, the client ends its side; a server
 * that then neither answers nor closes the connection hangs.
 *
 * @param isReset whether the client breaks the connection off after the last part instead
 */
export function exchange(url: URL, parts: readonly Uint8Array[], isReset = false): Promise<RawAnswer> {
  const socket = open(url)
  const { promise, resolve } = Promise.withResolvers<RawAnswer>()
  let text = ''
  let isHang = false
  let timer: Timer | undefined
  const ended = () => {
    clearTimeout(timer)
    resolve({ statuses: statusesIn(text), text, isHang })
  }
  const wait = (milliseconds: number, then: () => void) => {
    clearTimeout(timer)
    timer = setTimeout(then, milliseconds)
  }
  const hang = () => {
    isHang = text === ''
    socket.destroy()
  }
  const send = async () => {
    for (const part of parts) {
      if (socket.destroyed) return
      socket.write(part)
      if (parts.length > 1) await new Promise(setImmediate)
    }
    if (isReset) return void socket.destroy()
    if (text !== '') return
    wait(PATIENCE_MILLISECONDS, () => {
      socket.end()
      wait(HANG_MILLISECONDS, hang)
    })
  }
  socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => void send())
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
    if (text.length > ANSWER_BYTES_MAX) socket.destroy()
    // More may come, of this answer or of one to a request that followed.
    else wait(isWhole(text) ? 5 : 100, () => socket.destroy())
  })
  socket.on('error', () => {})
  socket.on('close', ended)
  return promise
}

function open({ hostname, port, protocol }: URL): Socket {
  const to = { host: hostname, port: Number(port) }
  return protocol === 'https:' ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to)
}

function isWhole(text: string): boolean {
  const end = text.lastIndexOf('\r\n\r\n')
  const length = /content-length: (\d+)/i.exec(text.slice(text.lastIndexOf('HTTP/1.1 ')))?.[1]
  return length !== undefined && text.length - end - 4 >= Number(length)
}

function statusesIn(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}
