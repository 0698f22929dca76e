import { Elysia, t } from 'elysia'
import { formatSubject, parseSubject } from '../../metadata/grants.ts'
import { type AdminContext, type AdminRequest, adminRequest } from './context.ts'
import {
  Done,
  PageQuery,
  Pattern,
  page,
  pageOf,
  REFUSALS,
  RoleName,
  SECURITY,
  Time,
  timeOf,
} from './schemas.ts'

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
})

const Grant = t.Object({ subject: t.String(), pattern: t.String(), role: RoleName, createdAt: Time })

/** GET, PUT and DELETE /api/v1/grants */
export function grants(context: AdminContext) {
  const detail = (summary: string, operationId: string) => ({ summary, operationId, security: SECURITY })
  return new Elysia({ name: 'grants', prefix: '/grants', tags: ['accounts'] })
    .get(
      '/',
      async ({ request, query }) => {
        ;(await adminRequest(context, request)).requireAdmin()
        const last = Number(query.last ?? 0) || 0
        const { items, ...rest } = page(
          (limit) => context.metadata.grants.list(last, limit),
          ({ id }) => String(id),
        )
        return {
          items: items.map(({ subject, pattern, role, createdAt }) => ({
            subject: formatSubject(subject),
            pattern,
            role,
            createdAt: timeOf(createdAt) ?? '',
          })),
          ...rest,
        }
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Grant, 'Grants'), ...REFUSALS },
        detail: detail('List grants', 'listGrants'),
      },
    )
    .put(
      '/',
      async ({ request, body: { subject, pattern, role } }) => {
        const admin = await adminRequest(context, request)
        requireOwner(admin, pattern)
        await context.metadata.write('putGrant', {
          ...admin.act(),
          subject: parseSubject(subject),
          pattern,
          role,
        })
        return { done: true as const }
      },
      {
        body: t.Object({ subject: SubjectName, pattern: Pattern, role: RoleName }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Grant a role on the repositories of a pattern', 'putGrant'),
      },
    )
    .delete(
      '/',
      async ({ request, query: { subject, pattern } }) => {
        const admin = await adminRequest(context, request)
        requireOwner(admin, pattern)
        await context.metadata.write('removeGrant', {
          ...admin.act(),
          subject: parseSubject(subject),
          pattern,
        })
        return { done: true as const }
      },
      {
        query: t.Object({ subject: SubjectName, pattern: Pattern }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Take a grant back', 'removeGrant'),
      },
    )
}

/** In their own namespace users grant by themselves, elsewhere a server admin does. */
function requireOwner(admin: AdminRequest, pattern: string): void {
  const slash = pattern.indexOf('/')
  if (slash > 0) admin.requireSelf(pattern.slice(0, slash))
  else admin.requireAdmin()
}
