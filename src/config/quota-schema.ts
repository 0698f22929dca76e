import { Type } from '@sinclair/typebox'
import { table } from './setting.ts'

const limit = (maximum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum, description }))

/** The limits of a quota. */
export const QUOTA_LIMITS = {
  bytesMax: limit(
    2 ** 50,
    'The most bytes of distinct blobs and of manifests, deleted ones included [no limit]',
  ),
  repositoriesMax: limit(1_000_000_000, 'The most repositories [no limit]'),
  tagsMax: limit(1_000_000_000, 'The most tags [no limit]'),
}

/** One `[[quota]]`: how much a namespace can hold. */
export const QuotaSchema = table({
  namespace: Type.String({
    pattern: '^(\\*\\*?|[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)$',
    maxLength: 255,
    description:
      'The first component of repository names; * for each without a quota of its own, ** for the whole server',
    example: 'alice',
  }),
  ...QUOTA_LIMITS,
})
