import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { Answer } from '../../http/admin/answers.ts'
import { CommandError, EXIT } from '../failure.ts'
import { readLine, readPasswords } from '../input/password-input.ts'
import { sanitize } from '../output/terminal.ts'
import { adminClient, apiPath } from './admin-client.ts'
import { isOpenToOthers, openRemote, parseServer, readText } from './remote.ts'
import { currentServer, findSignIn, forgetSignIn, keepSignIn, type SignIn } from './sign-in.ts'

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
  const created = await client.request<Answer<'accounts/:account/tokens', 'post'>>(
    'POST',
    `${apiPath('accounts', account)}/tokens`,
    request,
  )
  return { account, token: created.secret, tokenId: created.id }
}

/** Returns the account that the credentials belong to. Throws a CommandError if the server does not accept them. */
async function accountOf(server: URL, options: LoginOptions, credentials: Credentials): Promise<string> {
  const client = adminClient(await open(server, options, credentials))
  const { account } = await client.request<Answer<'caller'>>('GET', '/caller')
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
