import { t } from 'elysia'
import type { ExplainedAccess } from '../../../core/accounts/grants.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { AccountName, oneOf, Pattern, RepositoryParam, RoleName } from '../schemas.ts'

const Actions = t.Array(oneOf(['pull', 'push', 'delete']))

const Explained = t.Object(
  {
    actions: Actions,
    disabled: t.Boolean({ description: 'Whether the account or its owner is disabled' }),
    reasons: t.Array(
      t.Object({
        source: oneOf(
          ['open', 'server-admin', 'own-namespace', 'account', 'group', 'authenticated', 'anonymous'],
          'The source of the permission: the subject of a grant, or the status of the account',
        ),
        subject: t.Optional(t.String({ description: 'The subject of the grant', example: 'group:team' })),
        pattern: t.Optional(Pattern),
        role: t.Optional(RoleName),
        actions: Actions,
      }),
      { description: 'The permissions of the account, which add up' },
    ),
    limits: t.Array(
      t.Object({
        source: oneOf(['owner', 'credential']),
        name: t.String({ description: "The owner's name, or the token's id", example: 'alice' }),
        actions: Actions,
      }),
      { description: 'Limits, all of which must allow the action' },
    ),
  },
  { description: 'What the account may do in the repository, and why' },
)

const Question = t.Object({
  account: t.Optional(AccountName),
  repository: RepositoryParam,
  credentialId: t.Optional(t.String({ maxLength: 64, description: 'The id of a token of the account' })),
})

/** GET /api/v1/access: what an account may do in a repository, and by which grants. */
export function access(context: AdminContext) {
  const { grants } = context.accounts
  return controller(context, 'access', '/access').get(
    '',
    async ({ principal, query: { credentialId: credential, ...query } }) => {
      const { actions, isDisabled, reasons, limits } = await grants.explain(principal, {
        ...query,
        credential,
      })
      return {
        actions,
        disabled: isDisabled,
        reasons: reasons.map(toReason),
        limits: limits.map(({ by: source, ...limit }) => ({ source, ...limit })),
      }
    },
    {
      query: Question,
      ...operation('explainAccess', 'account', 'Show what an account may do in a repository, and why', {
        description:
          'Without an account, shows what anonymous callers may do; this needs permission to delete in the repository. Only ' +
          'server admins may ask about accounts other than their own and their robots.',
        answer: Explained,
        errors: ['NOT_FOUND', 'NAME_INVALID'],
      }),
    },
  )
}

function toReason({ by: source, subject, rule, actions }: ExplainedAccess['reasons'][number]) {
  return { source, ...(subject !== undefined && { subject }), ...rule, actions }
}
