import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { CommandError } from '../failure.ts'

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

type Environment = Record<string, string | undefined>

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
    return parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return { servers: {} }
    const { message } = cause as Error
    throw new CommandError(`cannot read the sign-ins in ${path}: delete it, and sign in again (${message})`)
  }
}

function parse(text: string): Kept {
  const kept: Partial<Kept> | null = JSON.parse(text)
  if (typeof kept?.servers !== 'object' || kept.servers === null) throw new Error('it has no servers')
  return { ...kept, servers: kept.servers }
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
