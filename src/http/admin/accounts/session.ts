import { t } from 'elysia'
import { newSecret } from '../../../auth/secrets.ts'
import { registryError } from '../../../oci/error.ts'
import { csrfTokenOf } from '../../session-cookie.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { DONE, Done, Name, Time, timeOf } from '../schemas.ts'

/** How long a session lasts, in seconds. */
const SESSION_SECONDS = 12 * 3600

const Session = t.Object(
  {
    account: Name,
    isAdmin: t.Boolean(),
    expiresAt: Time,
    csrfToken: t.String({
      description: 'For the header x-csrf-token of each change',
      example: 'kZ3vB0Sg8b0vLr0m1T2Zq4m0o9mJv2K8mVtN2b0fXkQ',
    }),
  },
  { description: 'The session that the cookie names' },
)

const OPERATIONS = {
  begin: operation({
    id: 'beginSession',
    summary: 'Sign in from a browser',
    access: 'anybody',
    answer: Session,
    description: 'Sets the cookie of the session. Changing the password, or disabling the user, ends it.',
  }),
  get: operation({ id: 'getSession', summary: 'Show the session', access: 'session', answer: Session }),
  end: operation({ id: 'endSession', summary: 'Sign out', access: 'session', answer: Done }),
}

const Password = t.String({ maxLength: 1024, example: 'correct-horse-battery' })

/** POST, GET and DELETE /api/v1/session: a browser that has signed in. */
export function session(context: AdminContext) {
  const { metadata, authenticator, cookies, now } = context
  const currentOf = (request: Request) => {
    const secret = cookies.secretOf(request)
    const found = secret === undefined ? undefined : authenticator.findSession(secret)
    if (secret === undefined || found === undefined)
      throw registryError('UNAUTHORIZED', 'there is no session')
    return { ...found, secret }
  }
  return controller(context, 'session', '/session')
    .post(
      '',
      async ({ asker, body: { name, password }, request, set }) => {
        const { caller, at } = asker.act()
        const identity = await authenticator.authenticatePassword(name, password, caller.address)
        const { account, credential, isAdmin } = identity
        if (account === undefined || credential !== undefined)
          throw registryError('UNAUTHORIZED', 'a session begins with a password, not with a token')
        const { secret, hash } = newSecret()
        const expiresAt = at + SESSION_SECONDS * 1000
        const made = { caller: { ...caller, account }, at, of: account, id: crypto.randomUUID() }
        const kind = 'session'
        await metadata.write('addCredential', { ...made, kind, name: kind, hash, expiresAt, scope: null })
        try {
          // A password that was changed meanwhile has ended the sessions before this one; unchanged, it is remembered.
          await authenticator.authenticatePassword(name, password, caller.address)
        } catch (error) {
          await metadata.write('removeCredential', { ...made, kind })
          throw error
        }
        set.headers['set-cookie'] = cookies.format(request, secret, SESSION_SECONDS)
        set.headers['cache-control'] = 'no-store'
        return { account, isAdmin, expiresAt: timeOf(expiresAt), csrfToken: csrfTokenOf(secret) }
      },
      { body: t.Object({ name: Name, password: Password }), ...OPERATIONS.begin },
    )
    .get(
      '',
      ({ request, set }) => {
        const { identity, expiresAt, secret } = currentOf(request)
        const { account = '', isAdmin } = identity
        set.headers['cache-control'] = 'no-store'
        return { account, isAdmin, expiresAt: timeOf(expiresAt ?? now()), csrfToken: csrfTokenOf(secret) }
      },
      OPERATIONS.get,
    )
    .delete(
      '',
      async ({ asker, request, set }) => {
        const { identity } = currentOf(request)
        const { account: of = '', credential: id = '' } = identity
        await metadata.write('removeCredential', { ...asker.act(), of, id, kind: 'session' })
        set.headers['set-cookie'] = cookies.format(request, '', 0)
        return DONE
      },
      OPERATIONS.end,
    )
}
