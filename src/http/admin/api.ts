import { Elysia } from 'elysia'
import { toErrorResponse } from '../errors.ts'
import { audit } from './audit.ts'
import type { AdminContext } from './context.ts'
import { grants } from './grants.ts'
import { groups } from './groups.ts'
import { robots } from './robots.ts'
import { tokens } from './tokens.ts'
import { users } from './users.ts'

/** The admin API: one instance a noun, under /api/v1. */
export function adminApi(context: AdminContext) {
  return new Elysia({ name: 'admin', prefix: '/api/v1' })
    .onError({ as: 'scoped' }, ({ error, request, code }) => {
      if (code === 'VALIDATION' || code === 'PARSE') return
      const response = toErrorResponse(error, request.method)
      if (response.status === 401)
        response.headers.set('www-authenticate', 'Basic realm="cay", charset="UTF-8"')
      return response
    })
    .use(users(context))
    .use(robots(context))
    .use(tokens(context))
    .use(groups(context))
    .use(grants(context))
    .use(audit(context))
}
