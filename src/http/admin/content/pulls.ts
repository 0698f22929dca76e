import { t } from 'elysia'
import { parseTag } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { integer, mapPage, pageOf, pageParameters, RepositoryParam } from '../schemas.ts'

const DailyPulls = t.Object({
  day: t.String({ format: 'date', description: 'The day, in UTC', example: '2026-01-31' }),
  tag: t.Optional(t.String({ description: 'Absent for pulls by digest', example: 'latest' })),
  account: t.Optional(t.String({ description: 'Absent for anonymous pulls', example: 'alice+ci' })),
  pullCount: integer({ minimum: 1, description: 'Number of manifest pulls' }),
})

const list = operation('listPulls', 'delete', 'List who pulled from a repository', {
  description:
    'Pulls are counted by tag, account and day, and kept for 90 days. A HEAD by tag and a GET of its digest by the same ' +
    'account within a minute count as a pull of the tag.',
  answer: pageOf(DailyPulls, 'Pulls, newest day first'),
  errors: ['NAME_UNKNOWN', 'NAME_INVALID', 'MANIFEST_INVALID'],
})

const query = t.Object({
  ...pageParameters,
  tag: t.Optional(t.String({ maxLength: 128, description: 'Only the pulls of this tag', example: 'latest' })),
})

/** GET /api/v1/repositories/:repository/pulls */
export function pulls(context: AdminContext) {
  const { pullCounts } = context.content
  return controller(context, 'pulls', '/repositories/:repository/pulls').get(
    '',
    async ({ params: { repository }, query: { tag, ...query } }) =>
      mapPage(
        await pullCounts.list(repository, tag === undefined ? undefined : parseTag(tag), query),
        ({ pulls: pullCount, ...row }) => omitAbsent({ ...row, pullCount }),
      ),
    { params: t.Object({ repository: RepositoryParam }), query, ...list },
  )
}
