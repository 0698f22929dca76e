import { t } from 'elysia'
import type { Principal } from '../../../domain/access/principal.ts'
import { csrfTokenOf } from '../../session-cookie.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { AccountName, Time, timeOf } from '../schemas.ts'

const CallerModel = t.Object(
  {
    account: t.Optional(AccountName),
    admin: t.Boolean({ description: 'Whether the caller may do everything' }),
    openAccess: t.Boolean({
      description: 'Whether nobody needs to authenticate: the setting access is open',
    }),
    catalogAccess: t.Boolean({ description: 'Whether the caller may list repositories' }),
    session: t.Optional(
      t.Object({
        expiresAt: Time,
        csrfToken: t.String({ description: 'Send it in the x-csrf-token header of each change' }),
      }),
    ),
  },
  { description: 'The caller. Without a valid session or credential, an anonymous one' },
)

/** GET /api/v1/caller: who the caller is. Unlike /session, it answers anonymous callers, too. */
export function caller(context: AdminContext) {
  const { cookies } = context
  const { sessions } = context.accounts
  const sessionOf = async (request: Request) => {
    const secret = request.headers.has('authorization') ? undefined : cookies.secretOf(request)
    return secret === undefined ? undefined : await sessions.find(secret)
  }
  return controller(context, 'session', '/caller').get(
    '',
    async ({ principal, request, set }) => {
      set.headers['cache-control'] = 'no-store'
      const { account, isAdmin } = principal
      const session = context.access.isOpen ? undefined : await sessionOf(request)
      return {
        admin: isAdmin,
        openAccess: context.access.isOpen,
        catalogAccess: hasCatalogAccess(principal),
        ...(account !== undefined && { account }),
        ...(session && {
          session: { expiresAt: timeOf(session.expiresAt), csrfToken: csrfTokenOf(session.secret) },
        }),
      }
    },
    operation('getCaller', 'anybody', 'Show who you are', { answer: CallerModel }),
  )
}

function hasCatalogAccess(principal: Principal): boolean {
  try {
    principal.catalog()
    return true
  } catch {
    return false
  }
}
