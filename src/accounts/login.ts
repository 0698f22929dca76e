import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { adminClient, apiPath } from '../cli/client.ts'
import {
  currentServer,
  findSignIn,
  forgetSignIn,
  isOpenToOthers,
  keepSignIn,
  openRemote,
  parseServer,
  readText,
  type SignIn,
} from '../cli/connection.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { readLine, readPasswords } from '../cli/input.ts'
import { sanitize } from '../cli/output.ts'
import type { Config } from '../config/schema.ts'
import { initialPasswordPath } from '../config/values.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { AccountsRoutes } from './models.ts'

interface Credentials {
  token?: string
  basic?: string
}

/** Options of `cay login`. */
export interface LoginOptions {
  username?: string
  ca?: string
}

/**
 * Signs in at a remote server, and stores a token for other commands. On a terminal it asks for the user name and the
 * password, and creates the token; otherwise it reads a token, or with --username the password, from standard input.
 */
export async function login(url: string, options: LoginOptions): Promise<void> {
  const server = parseServer(url)
  if (isOpenToOthers(server))
    process.stderr.write('cay: warning: the sign-in is sent unencrypted over http: use https\n')
  const ca = options.ca === undefined ? {} : { ca: resolve(options.ca) }
  const signIn = { ...(await signInAt(server, options)), ...ca }
  keepSignIn(process.env, server.origin, signIn)
  process.stdout.write(
    `signed in to ${server.origin} as ${sanitize(signIn.account)}; commands use it until cay logout\n`,
  )
}

async function signInAt(server: URL, options: LoginOptions): Promise<SignIn> {
  if (options.username === undefined && !process.stdin.isTTY) {
    const [token = ''] = await readPasswords('Token')
    return { account: await accountOf(server, options, { token }), token }
  }
  const account = options.username ?? (await readLine('Username'))
  const [password] = await readPasswords(`Password for ${account}`)
  const basic = Buffer.from(`${account}:${password}`).toString('base64')
  await accountOf(server, options, { basic })
  const client = adminClient(await open(server, options, { basic }))
  const request = { name: `cay login on ${hostname()}`.slice(0, 64) }
  const created = await client.request<AnswerOf<AccountsRoutes, 'accounts/:account/tokens', 'post'>>(
    'POST',
    `${apiPath('accounts', account)}/tokens`,
    request,
  )
  return { account, token: created.secret, tokenId: created.id }
}

/** Returns the account that the credentials belong to. Throws a CommandError if the server does not accept them. */
async function accountOf(server: URL, options: LoginOptions, credentials: Credentials): Promise<string> {
  const client = adminClient(await open(server, options, credentials))
  const { account } = await client.request<AnswerOf<AccountsRoutes, 'caller'>>('GET', '/caller')
  if (account !== undefined) return account
  throw new CommandError(`${server.origin} needs no sign-in: its access is open`)
}

async function open(server: URL, { ca }: LoginOptions, credentials: Credentials) {
  const authorities = ca === undefined ? undefined : await readText(ca, '--ca')
  const { signInHint: _, ...transport } = openRemote({ server, ...credentials, authorities })
  return transport
}

/** Removes the sign-in at the given or current server, and revokes the token that `cay login` created for it. */
export async function logout(url: string | undefined): Promise<void> {
  const origin = url === undefined ? currentServer(process.env) : parseServer(url).origin
  const signIn = origin === undefined ? undefined : findSignIn(process.env, origin)
  if (origin === undefined || signIn === undefined)
    throw new CommandError(origin === undefined ? 'not signed in' : `not signed in to ${origin}`, EXIT.denied)
  forgetSignIn(process.env, origin)
  const { account, token, tokenId, ca } = signIn
  if (tokenId !== undefined) {
    try {
      const client = adminClient(await open(new URL(origin), ca === undefined ? {} : { ca }, { token }))
      await client.send('DELETE', apiPath('accounts', account, 'tokens', tokenId))
    } catch (error) {
      const why = sanitize((error as Error).message)
      process.stderr.write(`cay: warning: the token could not be revoked: ${why}\n`)
    }
  }
  process.stdout.write(`signed out of ${origin}\n`)
}

/**
 * Prints the generated password of the first account.
 *
 * @throws CommandError if there is none, or if it cannot be read
 */
export function printInitialPassword({ data }: Config): void {
  const path = initialPasswordPath(data)
  if (!existsSync(path)) {
    throw new CommandError(
      `${path} not found: the first start printed the password on its terminal, the password was chosen or ` +
        'changed, or the server has not started yet; to set a new one, run: cay user passwd admin',
      EXIT.absent,
    )
  }
  process.stdout.write(readFileSync(path, 'utf8'))
}
