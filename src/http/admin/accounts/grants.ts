import { t } from 'elysia'
import type { Grant } from '../../../core/accounts/grants.ts'
import { type AdminContext, controller } from '../context.ts'
import { markCreated, operation } from '../operation.ts'
import { mapPage, Pattern, pageOf, pageParameters, RoleName, Time, timeOf } from '../schemas.ts'

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
  example: 'group:team',
})

const GrantModel = t.Object(
  { subject: SubjectName, pattern: Pattern, role: RoleName, createdAt: Time },
  { description: 'A grant' },
)

const IN_OWN_NAMESPACE = 'Users may change grants in their own namespace; elsewhere only server admins may.'

const TO_WHOM =
  'Only server admins may grant to anonymous and authenticated, unless grants.public-by-admins-only is false. To hide ' +
  'which accounts exist, a grant to an unknown account or group is accepted and listed, but has no effect.'

/** GET, PUT and DELETE /api/v1/grants */
export function grants(context: AdminContext) {
  const { grants } = context.accounts
  return controller(context, 'grants', '/grants')
    .get('', async ({ principal, query }) => mapPage(await grants.list(principal, query), toGrant), {
      query: t.Object({
        ...pageParameters,
        subject: t.Optional({
          ...SubjectName,
          description: `Only grants to this subject: ${SubjectName.description}`,
        }),
        pattern: t.Optional({ ...Pattern, description: 'Only grants on exactly this pattern' }),
      }),
      ...operation(
        'listGrants',
        'account',
        'List grants: all for server admins, otherwise those in your own namespace',
        { answer: pageOf(GrantModel, 'Grants') },
      ),
    })
    .put(
      '',
      async ({ principal, body, set }) => {
        const { isNew, ...grant } = await grants.put(principal, body)
        markCreated(set, isNew)
        return toGrant(grant)
      },
      {
        body: t.Object({ subject: SubjectName, pattern: Pattern, role: RoleName }),
        ...operation('putGrant', 'account', 'Grant a role on the repositories that match a pattern', {
          description: `${IN_OWN_NAMESPACE} ${TO_WHOM}`,
          answer: GrantModel,
          creates: 'unless-it-exists',
          location: ({ subject, pattern }) => `?${new URLSearchParams({ subject, pattern })}`,
          errors: ['NOT_FOUND', 'NAME_INVALID', 'CONFLICT'],
        }),
      },
    )
    .delete('', ({ principal, query }) => grants.delete(principal, query), {
      query: t.Object({ subject: SubjectName, pattern: Pattern }),
      ...operation('deleteGrant', 'account', 'Delete a grant', {
        description: IN_OWN_NAMESPACE,
        errors: ['NOT_FOUND'],
      }),
    })
}

function toGrant({ subject, pattern, role, createdAt }: Omit<Grant, 'id'>) {
  return { subject, pattern, role, createdAt: timeOf(createdAt) }
}
