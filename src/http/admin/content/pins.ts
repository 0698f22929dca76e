import { t } from 'elysia'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { DONE, Done, Pattern, pageOf, Time } from '../schemas.ts'

const reference = t.String({
  maxLength: 135,
  description: 'A tag, a digest, or empty for all of the repositories',
  example: '3',
})

const PinModel = t.Object({ pattern: Pattern, reference, createdAt: Time })
const Named = t.Object({ pattern: Pattern, reference })

const OPERATIONS = {
  list: operation({
    id: 'listPins',
    summary: 'List pins',
    access: 'admin',
    answer: pageOf(PinModel, 'Pins, by their patterns; never more than one page'),
  }),
  put: operation({
    id: 'addPin',
    summary: 'Keep cached content from being evicted',
    access: 'admin',
    answer: Done,
    description: 'A pin holds also for what is cached later. With an index its images are pinned.',
    errors: ['NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID', 'CONFLICT'],
  }),
  delete: operation({
    id: 'removePin',
    summary: 'Remove a pin',
    access: 'admin',
    answer: Done,
    errors: ['NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID', 'NOT_FOUND'],
  }),
}

/** GET, PUT and DELETE /api/v1/pins */
export function pins(context: AdminContext) {
  const { pins } = context.content
  return controller(context, 'pins', '/pins')
    .get('', async () => ({ items: (await pins.list()).map(present) }), OPERATIONS.list)
    .put(
      '',
      async ({ principal, body }) => {
        await pins.add(principal.act(), body.pattern, body.reference)
        return DONE
      },
      { body: Named, ...OPERATIONS.put },
    )
    .delete(
      '',
      async ({ principal, query }) => {
        await pins.remove(principal.act(), query.pattern, query.reference)
        return DONE
      },
      { query: Named, ...OPERATIONS.delete },
    )
}
