import { t } from 'elysia'
import type { Asker } from '../../../domain/asker.ts'
import { formatSubject, type GrantRow, parseSubject } from '../../../metadata/accounts/grants.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { DONE, Done, PageQuery, Pattern, page, pageOf, RoleName, Time, timeOf } from '../schemas.ts'

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
})

const Grant = t.Object({ subject: t.String(), pattern: t.String(), role: RoleName, createdAt: Time })

const IN_OWN_NAMESPACE = 'In their own namespace users grant by themselves, elsewhere a server admin does.'

/** GET, PUT and DELETE /api/v1/grants */
export function grants(context: AdminContext) {
  const { metadata } = context
  return controller(context, 'grants', '/grants')
    .get(
      '',
      ({ asker, query }) => {
        const namespace = asker.isAdmin ? undefined : asker.self()
        return page(
          query,
          (limit) => metadata.grants.list(Number(query.last ?? 0) || 0, limit, namespace),
          ({ id }) => String(id),
          toGrant,
        )
      },
      {
        query: PageQuery,
        ...operation({
          id: 'listGrants',
          summary: 'List grants: all to a server admin, else those in your own namespace',
          access: 'account',
          answer: pageOf(Grant, 'Grants'),
        }),
      },
    )
    .put(
      '',
      async ({ asker, body: { subject, pattern, role } }) => {
        const grant = { ...actOn(asker, pattern), subject: parseSubject(subject), pattern, role }
        await metadata.write('putGrant', grant)
        return DONE
      },
      {
        body: t.Object({ subject: SubjectName, pattern: Pattern, role: RoleName }),
        ...operation({
          id: 'putGrant',
          summary: 'Grant a role on the repositories of a pattern',
          access: 'account',
          description: IN_OWN_NAMESPACE,
          answer: Done,
          errors: ['NOT_FOUND', 'NAME_INVALID'],
        }),
      },
    )
    .delete(
      '',
      async ({ asker, query: { subject, pattern } }) => {
        const grant = { ...actOn(asker, pattern), subject: parseSubject(subject), pattern }
        await metadata.write('removeGrant', grant)
        return DONE
      },
      {
        query: t.Object({ subject: SubjectName, pattern: Pattern }),
        ...operation({
          id: 'removeGrant',
          summary: 'Take a grant back',
          access: 'account',
          answer: Done,
          description: IN_OWN_NAMESPACE,
          errors: ['NOT_FOUND'],
        }),
      },
    )
}

/** In their own namespace users grant by themselves, elsewhere a server admin does. */
function actOn(asker: Asker, pattern: string) {
  const slash = pattern.indexOf('/')
  if (slash <= 0 || pattern.slice(0, slash) !== asker.account) return asker.admin()
  return asker.owner(asker.account)
}

function toGrant({ subject, pattern, role, createdAt }: GrantRow) {
  return { subject: formatSubject(subject), pattern, role, createdAt: timeOf(createdAt) }
}
