import { t } from 'elysia'
import { SESSION_SECONDS, type Session } from '../../../core/accounts/sessions.ts'
import { registryError } from '../../../oci/error.ts'
import { csrfTokenOf } from '../../session-cookie.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { Name, Time, timeOf } from '../schemas.ts'

const SessionModel = t.Object(
  {
    account: Name,
    admin: t.Boolean({ description: 'Whether the account is a server admin' }),
    expiresAt: Time,
    csrfToken: t.String({
      description: 'Send it in the x-csrf-token header of each change',
      example: 'kZ3vB0Sg8b0vLr0m1T2Zq4m0o9mJv2K8mVtN2b0fXkQ',
    }),
  },
  { description: 'The current session' },
)

const OPERATIONS = {
  begin: operation('createSession', 'anybody', 'Sign in from a browser', {
    answer: SessionModel,
    creates: 'always',
    description: 'Sets the session cookie. Changing the password or disabling the user ends the session.',
  }),
  get: operation('getSession', 'session', 'Show the session', { answer: SessionModel }),
  end: operation('deleteSession', 'session', 'Sign out'),
}

const Password = t.String({ maxLength: 1024, example: 'correct-horse-battery' })

/** POST, GET and DELETE /api/v1/session: the session of a browser. */
export function session(context: AdminContext) {
  const { cookies } = context
  const { sessions } = context.accounts
  const currentOf = async (request: Request) => {
    const secret = cookies.secretOf(request)
    const found = secret === undefined ? undefined : await sessions.find(secret)
    if (found === undefined) throw registryError('UNAUTHORIZED', 'not signed in, or the session has expired')
    return found
  }
  return controller(context, 'session', '/session')
    .post(
      '',
      async ({ principal, body: { username, password }, request, set }) => {
        const begun = await sessions.begin(principal.act(), username, password)
        set.headers['set-cookie'] = cookies.format(request, begun.secret, SESSION_SECONDS)
        set.headers['cache-control'] = 'no-store'
        return toSession(begun)
      },
      { body: t.Object({ username: Name, password: Password }), ...OPERATIONS.begin },
    )
    .get(
      '',
      async ({ request, set }) => {
        set.headers['cache-control'] = 'no-store'
        return toSession(await currentOf(request))
      },
      OPERATIONS.get,
    )
    .delete(
      '',
      async ({ principal, request, set }) => {
        await sessions.end(principal.act(), await currentOf(request))
        set.headers['set-cookie'] = cookies.format(request, '', 0)
      },
      OPERATIONS.end,
    )
}

function toSession({ identity: { account = '', isAdmin }, expiresAt, secret }: Session) {
  return { account, admin: isAdmin, expiresAt: timeOf(expiresAt), csrfToken: csrfTokenOf(secret) }
}
