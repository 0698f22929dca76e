import { existsSync } from 'node:fs'
import type { LoadedConfig } from '../config/config.ts'
import { socketPath } from '../config/socket-path.ts'
import { type AdminClient, adminClient, type Transport } from './admin-client.ts'
import { CommandError, EXIT } from './failure.ts'
import { isOpenToOthers, openRemote, parseServer } from './remote.ts'

/** What says where a command goes: its options, by name. */
export type PlaceOptions = Readonly<Record<string, string>>

/** How the commands get at the configuration that their options name. */
export type LoadConfig = (options: PlaceOptions) => Promise<LoadedConfig>

export interface PlaceSources {
  options: PlaceOptions
  environment: Record<string, string | undefined>
  load: LoadConfig
  warn: (message: string) => void
}

/** Options that name a data folder on this host. */
const HERE = ['data', 'metadata', 'config'] as const

/**
 * Opens what a command asks: a remote server when one is named, else the running server of the data folder through its
 * socket, else the data folder itself, which no server has.
 */
export async function openClient(sources: PlaceSources): Promise<AdminClient> {
  const remote = await remoteTransport(sources)
  if (remote !== undefined) return adminClient(remote)
  const { config } = await sources.load(sources.options)
  const socket = await socketTransport(config.data)
  if (socket !== undefined) return adminClient(socket)
  const { openAlone } = await import('./alone.ts')
  return adminClient(await openAlone(config))
}

/** The same, only where a server runs that can be asked at once: for completions. */
export async function openRunning(sources: PlaceSources): Promise<AdminClient | undefined> {
  const transport =
    (await remoteTransport(sources)) ??
    (await socketTransport((await sources.load(sources.options)).config.data))
  return transport && adminClient(transport)
}

async function remoteTransport({ options, environment, warn }: PlaceSources): Promise<Transport | undefined> {
  const here = HERE.find((name) => options[name] !== undefined)
  const named = options.server ?? (here === undefined ? environment.CAY_SERVER || undefined : undefined)
  if (named === undefined) {
    const lost = (['token', 'ca'] as const).find((name) => options[name] !== undefined)
    if (lost === undefined) return undefined
    throw new CommandError(`--${lost} is for a server elsewhere: name it with --server`, EXIT.usage)
  }
  if (here !== undefined) {
    throw new CommandError(`choose --server, or --${here} for a data folder on this host`, EXIT.usage)
  }
  const server = parseServer(named)
  const token = await tokenOf(options, environment)
  if (token !== undefined && isOpenToOthers(server))
    warn(`http sends the token for others to read: use https`)
  const authorities = options.ca === undefined ? undefined : await readText(options.ca, '--ca')
  return openRemote({ server, token, authorities })
}

async function tokenOf(
  options: PlaceOptions,
  { CAY_TOKEN, CAY_TOKEN_FILE }: PlaceSources['environment'],
): Promise<string | undefined> {
  const given = options.token || CAY_TOKEN || undefined
  if (given !== undefined || !CAY_TOKEN_FILE) return given
  return (await readText(CAY_TOKEN_FILE, 'CAY_TOKEN_FILE')).trim()
}

async function readText(path: string, name: string): Promise<string> {
  try {
    return await Bun.file(path).text()
  } catch (cause) {
    throw new CommandError(
      `cannot read ${path}, which ${name} names: ${(cause as Error).message}`,
      EXIT.usage,
      { cause },
    )
  }
}

/** The running server of a data folder. A socket that a crash has left does not answer. */
async function socketTransport(data: string): Promise<Transport | undefined> {
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
