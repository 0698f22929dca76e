import { type Static, t } from 'elysia'
import type { Pin } from '../../../core/content/cache/pins.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { markCreated, operation } from '../operation.ts'
import { Pattern, pageOf, Time } from '../schemas.ts'

const reference = t.Optional(
  t.String({
    maxLength: 135,
    description: 'A tag or a digest; absent for everything in the repositories',
    example: '3',
  }),
)

const PinModel = t.Object({ pattern: Pattern, reference, createdAt: Time }, { description: 'A pin' })
const Named = t.Object({ pattern: Pattern, reference })

const OPERATIONS = {
  list: operation('listPins', 'admin', 'List pins', {
    answer: pageOf(PinModel, 'Pins, by their patterns; never more than one page'),
  }),
  put: operation('putPin', 'admin', 'Keep cached content from being evicted', {
    answer: PinModel,
    creates: 'unless-it-exists',
    location: (pin) => `?${new URLSearchParams(pinOf(pin))}`,
    description: 'A pin also holds for content that is cached later. With an index its images are pinned.',
    errors: ['NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID', 'CONFLICT'],
  }),
  delete: operation('deletePin', 'admin', 'Remove a pin', {
    errors: ['NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID', 'NOT_FOUND'],
  }),
}

/** GET, PUT and DELETE /api/v1/pins */
export function pins(context: AdminContext) {
  const { pins } = context.content
  return controller(context, 'pins', '/pins')
    .get('', async ({ query }) => ({ items: (await pins.list(query)).map(toPin) }), {
      query: t.Partial(Named),
      ...OPERATIONS.list,
    })
    .put(
      '',
      async ({ principal, body, set }) => {
        const { isNew, ...pin } = await pins.add(principal.act(), body.pattern, body.reference)
        markCreated(set, isNew)
        return toPin(pin)
      },
      { body: Named, ...OPERATIONS.put },
    )
    .delete('', ({ principal, query }) => pins.remove(principal.act(), query.pattern, query.reference), {
      query: Named,
      ...OPERATIONS.delete,
    })
}

/** Returns the query that selects a pin. */
function pinOf({ pattern, reference }: Static<typeof Named>): Record<string, string> {
  return reference === undefined ? { pattern } : { pattern, reference }
}

function toPin({ pattern, reference, createdAt }: Pin & { createdAt: number }) {
  return omitAbsent({ pattern, reference: reference === '' ? undefined : reference, createdAt })
}
