import { t } from 'elysia'
import type { Grant } from '../../../core/accounts/grants.ts'
import type { Asker } from '../../../domain/asker.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { DONE, Done, mapPage, PageQuery, Pattern, pageOf, RoleName, Time, timeOf } from '../schemas.ts'

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
})

const GrantModel = t.Object({ subject: t.String(), pattern: t.String(), role: RoleName, createdAt: Time })

const IN_OWN_NAMESPACE = 'In their own namespace users grant by themselves, elsewhere a server admin does.'

/** GET, PUT and DELETE /api/v1/grants */
export function grants(context: AdminContext) {
  const { grants } = context.accounts
  return controller(context, 'grants', '/grants')
    .get(
      '',
      async ({ asker, query }) => {
        const namespace = asker.isAdmin ? undefined : asker.self()
        return mapPage(await grants.list(query, namespace), toGrant)
      },
      {
        query: PageQuery,
        ...operation({
          id: 'listGrants',
          summary: 'List grants: all to a server admin, else those in your own namespace',
          access: 'account',
          answer: pageOf(GrantModel, 'Grants'),
        }),
      },
    )
    .put(
      '',
      async ({ asker, body }) => {
        await grants.put(actOn(asker, body.pattern), body)
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
      async ({ asker, query }) => {
        await grants.delete(actOn(asker, query.pattern), query)
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

function toGrant({ subject, pattern, role, createdAt }: Grant) {
  return { subject, pattern, role, createdAt: timeOf(createdAt) }
}
