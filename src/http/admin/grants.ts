import { t } from 'elysia'
import { formatSubject, type GrantRow, parseSubject } from '../../metadata/grants.ts'
import { type AdminContext, type Asker, controller } from './context.ts'
import { DONE, Done, operation, PageQuery, Pattern, page, pageOf, RoleName, Time, timeOf } from './schemas.ts'

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
})

const Grant = t.Object({ subject: t.String(), pattern: t.String(), role: RoleName, createdAt: Time })

/** GET, PUT and DELETE /api/v1/grants */
export function grants(context: AdminContext) {
  const { metadata } = context
  return controller(context, 'grants', '/grants')
    .get(
      '',
      ({ asker, query }) => {
        if (!asker.isAdmin) asker.owner(asker.account)
        const namespace = asker.isAdmin ? undefined : asker.account
        return page(
          (limit) => metadata.grants.list(Number(query.last ?? 0) || 0, limit, namespace),
          ({ id }) => String(id),
          toGrant,
        )
      },
      {
        query: PageQuery,
        ...operation(
          'List grants: all to a server admin, else those in your own namespace',
          'listGrants',
          pageOf(Grant, 'Grants'),
        ),
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
        ...operation('Grant a role on the repositories of a pattern', 'putGrant', Done),
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
        ...operation('Take a grant back', 'removeGrant', Done),
      },
    )
}

/** In their own namespace users grant by themselves, elsewhere a server admin does. */
function actOn(asker: Asker, pattern: string) {
  const slash = pattern.indexOf('/')
  return slash > 0 && pattern.slice(0, slash) === asker.account ? asker.owner(asker.account) : asker.admin()
}

function toGrant({ subject, pattern, role, createdAt }: GrantRow) {
  return { subject: formatSubject(subject), pattern, role, createdAt: timeOf(createdAt) }
}
