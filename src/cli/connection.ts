import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { getCACertificates } from 'node:tls'
import type { LoadedConfig } from '../config/config.ts'
import { isLoopback, socketPath } from '../config/values.ts'
import { type AdminClient, adminClient, type Transport } from './client.ts'
import { CommandError, EXIT, reasonOf, usageError } from './failure.ts'

/** The options of a command that choose the server, by name. */
export type ConnectOptions = Readonly<Record<string, string>>

/** Loads the configuration that the options name. `open` opens its data folder in this process. */
export type LoadConfig = (
  options: ConnectOptions,
) => Promise<LoadedConfig & { open: (canCreate: boolean) => Promise<Transport> }>

type Environment = Readonly<Record<string, string | undefined>>

export interface ConnectSources {
  options: ConnectOptions
  environment: Environment
  load: LoadConfig
  warn: (message: string) => void
  /** Whether to create a registry if the data folder has none. Commands that only read must not. */
  canCreate?: boolean
}

/** Options that name a data folder on this host. */
const HERE = ['data', 'metadata', 'config'] as const

/** Opens a client of the remote server, of the server that runs on the data folder, or of the folder itself. */
export async function openClient(sources: ConnectSources): Promise<AdminClient> {
  return adminClient(await openTransport(sources))
}

/** Connects as `openClient` does. The transport also reaches /v2. */
export async function openTransport(sources: ConnectSources): Promise<Transport> {
  const remote = await remoteTransport(sources)
  if (remote !== undefined) return remote
  const { config, open } = await sources.load(sources.options)
  return (await socketTransport(config.data)) ?? (await open(sources.canCreate ?? false))
}

/** Opens a client only if a server is running, because completions must be fast. */
export async function openRunning(sources: ConnectSources): Promise<AdminClient | undefined> {
  const transport =
    (await remoteTransport(sources)) ??
    (await socketTransport((await sources.load(sources.options)).config.data))
  return transport && adminClient(transport)
}

async function remoteTransport(sources: ConnectSources): Promise<Transport | undefined> {
  const { options, environment, warn } = sources
  const here = HERE.find((name) => options[name] !== undefined)
  const byDefault = () =>
    environment.CAY_SERVER || (environment.CAY_DATA ? undefined : currentServer(environment))
  const named = options.server ?? (here === undefined ? byDefault() : undefined)
  if (named === undefined) {
    const lost = (['token', 'ca'] as const).find((name) => options[name] !== undefined)
    if (lost === undefined) return undefined
    throw usageError(`--${lost} works only with a remote server: add --server`)
  }
  if (here !== undefined)
    throw usageError(
      `--server and --${here} cannot be combined: use --server for a remote server, --${here} for this host`,
    )
  const server = parseServer(named)
  const signIn = findSignIn(environment, server.origin)
  const token = (await tokenOf(sources)) ?? signIn?.token
  if (token !== undefined && isOpenToOthers(server))
    warn(`the token is sent unencrypted over http: use https`)
  const ca = options.ca ?? signIn?.ca
  const authorities = ca === undefined ? undefined : await readText(ca, '--ca')
  return openRemote({ server, token, authorities })
}

async function tokenOf({ options, environment }: ConnectSources): Promise<string | undefined> {
  const { CAY_TOKEN, CAY_TOKEN_FILE } = environment
  const given = options.token || CAY_TOKEN || undefined
  if (given !== undefined || !CAY_TOKEN_FILE) return given
  return (await readText(CAY_TOKEN_FILE, 'CAY_TOKEN_FILE')).trim()
}

/** Connects to the running server of a data folder. After a crash the socket may exist without a server. */
export async function socketTransport(data: string): Promise<Transport | undefined> {
  const unix = socketPath(data)
  if (!existsSync(unix)) return undefined
  try {
    await fetch('http://localhost/api/v1/users', { unix, method: 'HEAD' })
  } catch {
    return undefined
  }
  return {
    isOwner: true,
    fetch: (path, init) => fetch(`http://localhost${path}`, { ...init, unix }),
    close: async () => {},
  }
}

/** A remote server, and how to connect to it. */
export interface Remote {
  /** `https://registry.example`, without a path. */
  server: URL
  /** A token of an account (`cay_...`). */
  token?: string | undefined
  /** A user name and a password, as Basic has them. */
  basic?: string
  /** PEM text of the authorities to trust, instead of the system's. */
  authorities: string | undefined
}

/** Matches the error codes of BoringSSL and Bun for certificates that are not trusted. */
const NOT_TRUSTED = /SELF_SIGNED|UNABLE_TO_|CERT_|CERTIFICATE|ALTNAME/

/** Parses the address of a remote server; HOST and HOST:PORT mean HTTPS. Throws a CommandError that says what is expected. */
export function parseServer(text: string): URL {
  const whole = text.includes('://') ? text : `https://${text}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  const isWhole = url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.host !== ''
  if (isWhole && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '')
    return url
  throw usageError(`invalid server "${text}": expected https://HOST:PORT`)
}

/** Connects to a server over HTTP or HTTPS, and trusts the system's authorities unless others are given. */
export function openRemote({ server, token, basic, authorities }: Remote): Transport {
  const tls: BunFetchRequestInitTLS =
    server.protocol === 'https:' ? { ca: authorities ?? getCACertificates('system') } : {}
  const authorization = token === undefined ? basic && `Basic ${basic}` : `Bearer ${token}`
  const send = async (path: string, init: RequestInit) => {
    try {
      const headers = new Headers(init.headers)
      if (authorization !== undefined) headers.set('authorization', authorization)
      return await fetch(new URL(path, server), { ...init, tls, headers })
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw unreachable(server, error as NodeJS.ErrnoException)
    }
  }
  let isChecked = authorization !== undefined
  return {
    signInHint: `run cay login ${server.origin}, or set CAY_TOKEN, CAY_TOKEN_FILE or --token`,
    async fetch(path, init) {
      if (!isChecked) await requireOpenAccess(server, await send('/api/v1/caller', { redirect: 'manual' }))
      isChecked = true
      return await send(path, init)
    },
    close: async () => {},
  }
}

/** Throws a CommandError if the server says that an anonymous caller must sign in. */
async function requireOpenAccess({ origin }: URL, response: Response): Promise<void> {
  const caller: unknown = response.ok ? await response.json().catch(() => undefined) : undefined
  const { openAccess } = (caller ?? {}) as { openAccess?: boolean }
  if (openAccess !== false) return
  throw new CommandError(
    `not signed in to ${origin}: run cay login ${origin}, or set CAY_TOKEN to a token from cay token create`,
    EXIT.denied,
  )
}

/** Reads a text file that an option or a variable names. Throws a CommandError. */
export async function readText(path: string, name: string): Promise<string> {
  try {
    return await Bun.file(path).text()
  } catch (cause) {
    throw usageError(`cannot read ${path} (from ${name}): ${(cause as Error).message}`, { cause })
  }
}

/** Reports whether others could read a token on its way to the server. */
export function isOpenToOthers({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !isLoopback({ host: hostname.replace(/^\[|\]$/g, ''), port: 0 })
}

function unreachable({ origin }: URL, cause: NodeJS.ErrnoException): CommandError {
  const { code = '', message } = cause
  const why = NOT_TRUSTED.test(code)
    ? `the certificate of ${origin} is not trusted (${message}): run cay trust on the server to see how this host ` +
      'can trust it, or pass its authority with --ca FILE'
    : `${origin} does not answer (${reasonOf(cause)}): is cay serve running there?`
  return new CommandError(why, EXIT.unreachable, { cause })
}

/** A sign-in at a remote server, which `cay login` stores for other commands. */
export interface SignIn {
  account: string
  token: string
  /** The token's id, if `cay login` created it; `cay logout` then revokes it. */
  tokenId?: string
  /** The path of a PEM file of authorities to trust, instead of those of the system. */
  ca?: string
}

/** The stored file: the sign-ins by server, and the default server of commands. */
interface Kept {
  current?: string
  servers: Record<string, SignIn>
}

/** Returns the default server of commands. */
export function currentServer(environment: Environment): string | undefined {
  return read(environment).current
}

/** Returns the sign-in at a server, by its origin. */
export function findSignIn(environment: Environment, origin: string): SignIn | undefined {
  return read(environment).servers[origin]
}

/** Stores a sign-in in a file that only this user can read, and makes its server the default. */
export function keepSignIn(environment: Environment, origin: string, signIn: SignIn): void {
  const { servers } = read(environment)
  write(environment, { current: origin, servers: { ...servers, [origin]: signIn } })
}

/** Removes the sign-in at a server. */
export function forgetSignIn(environment: Environment, origin: string): void {
  const { current, servers } = read(environment)
  const { [origin]: _, ...others } = servers
  write(environment, { ...(current !== origin && current !== undefined && { current }), servers: others })
}

function pathOf({ XDG_CONFIG_HOME, APPDATA }: Environment): string {
  const folder = process.platform === 'win32' ? APPDATA : XDG_CONFIG_HOME
  return join(folder || join(homedir(), '.config'), 'cay', 'servers.json')
}

function read(environment: Environment): Kept {
  const path = pathOf(environment)
  try {
    const kept: Partial<Kept> | null = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof kept?.servers !== 'object' || kept.servers === null) throw new Error('it has no servers')
    return { ...kept, servers: kept.servers }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return { servers: {} }
    const { message } = cause as Error
    throw new CommandError(`cannot read the sign-ins in ${path}: delete it, and sign in again (${message})`)
  }
}

function write(environment: Environment, kept: Kept): void {
  const path = pathOf(environment)
  const temporary = `${path}.${process.pid}`
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(temporary, `${JSON.stringify(kept, undefined, 2)}\n`, { mode: 0o600, flush: true })
    renameSync(temporary, path)
  } catch (cause) {
    throw new CommandError(`cannot store the sign-in in ${path}: ${(cause as Error).message}`)
  }
}
