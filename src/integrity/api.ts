import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { OPERATIONS } from './models.ts'

/** GET /api/v1/damage */
export function damage(context: AdminContext) {
  return controller(context, 'damage', '/damage').get(
    '',
    async () => {
      const found = await context.content.damage.list()
      return {
        items: found.map(({ size: bytes, neededBy, ...one }) =>
          omitAbsent({ ...one, bytes, neededBy: neededBy.map(omitAbsent) }),
        ),
      }
    },
    OPERATIONS.list,
  )
}
