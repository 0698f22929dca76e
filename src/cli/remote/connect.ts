import { existsSync } from 'node:fs'
import type { LoadedConfig } from '../../config/config.ts'
import { socketPath } from '../../config/socket-path.ts'
import { CommandError, EXIT } from '../failure.ts'
import { type AdminClient, adminClient, type Transport } from './admin-client.ts'
import { isOpenToOthers, openRemote, parseServer, readText } from './remote.ts'
import { currentServer, findSignIn } from './sign-in.ts'

/** The options of a command that choose the server, by name. */
export type ConnectOptions = Readonly<Record<string, string>>

/** Loads the configuration that the options name. */
export type LoadConfig = (options: ConnectOptions) => Promise<LoadedConfig>

export interface ConnectSources {
  options: ConnectOptions
  environment: Record<string, string | undefined>
  load: LoadConfig
  warn: (message: string) => void
  /** Whether to create a registry if the data folder has none. Commands that only read must not. */
  canCreate?: boolean
}

/** Options that name a data folder on this host. */
const HERE = ['data', 'metadata', 'config'] as const

/**
 * Opens a client of the remote server, if one is named; of the server that runs on the data folder, through its socket;
 * or, without a running server, of the data folder itself.
 */
export async function openClient(sources: ConnectSources): Promise<AdminClient> {
  return adminClient(await openTransport(sources))
}

/** Connects as `openClient` does. The transport also reaches /v2. */
export async function openTransport(sources: ConnectSources): Promise<Transport> {
  const remote = await remoteTransport(sources)
  if (remote !== undefined) return remote
  const { config, settingSources } = await sources.load(sources.options)
  const socket = await socketTransport(config.data)
  if (socket !== undefined) return socket
  const { openEmbedded } = await import('../host/embedded.ts')
  return await openEmbedded(config, settingSources, sources.canCreate ?? false)
}

/** Opens a client only if a server is running, because completions must be fast. */
export async function openRunning(sources: ConnectSources): Promise<AdminClient | undefined> {
  const transport =
    (await remoteTransport(sources)) ??
    (await socketTransport((await sources.load(sources.options)).config.data))
  return transport && adminClient(transport)
}

async function remoteTransport({
  options,
  environment,
  warn,
}: ConnectSources): Promise<Transport | undefined> {
  const here = HERE.find((name) => options[name] !== undefined)
  const byDefault = () =>
    environment.CAY_SERVER || (environment.CAY_DATA ? undefined : currentServer(environment))
  const named = options.server ?? (here === undefined ? byDefault() : undefined)
  if (named === undefined) {
    const lost = (['token', 'ca'] as const).find((name) => options[name] !== undefined)
    if (lost === undefined) return undefined
    throw new CommandError(`--${lost} works only with a remote server: add --server`, EXIT.usage)
  }
  if (here !== undefined) {
    throw new CommandError(
      `--server and --${here} cannot be combined: use --server for a remote server, --${here} for this host`,
      EXIT.usage,
    )
  }
  const server = parseServer(named)
  const signIn = findSignIn(environment, server.origin)
  const token = (await tokenOf(options, environment)) ?? signIn?.token
  if (token !== undefined && isOpenToOthers(server))
    warn(`the token is sent unencrypted over http: use https`)
  const ca = options.ca ?? signIn?.ca
  const authorities = ca === undefined ? undefined : await readText(ca, '--ca')
  return openRemote({ server, token, authorities })
}

async function tokenOf(
  options: ConnectOptions,
  { CAY_TOKEN, CAY_TOKEN_FILE }: ConnectSources['environment'],
): Promise<string | undefined> {
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
