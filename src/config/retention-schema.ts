import { Type } from '@sinclair/typebox'
import { boolean, table } from './setting.ts'

const patterns = (description: string, example: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 255, example }), { maxItems: 100, description })
const days = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 36_500, description }))

/** The settings of a retention policy. */
export const RETENTION_SETTINGS = {
  repositories: patterns('Patterns of its repositories', 'ci/**'),
  tags: Type.Array(Type.String({ minLength: 1, maxLength: 128, example: 'pr-*' }), {
    minItems: 1,
    maxItems: 100,
    default: ['*'],
    description: 'Patterns of the tags that can expire [all]',
  }),
  newest: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 10_000, description: 'Keep this many of the newest tags' }),
  ),
  order: Type.Union([Type.Literal('pushed'), Type.Literal('version')], {
    default: 'pushed',
    description: 'What `newest` orders by; by version, only tags that are versions can expire',
  }),
  pushedDays: days('Keep tags that were pushed within this many days'),
  pulledDays: days('Keep tags that were pulled or pushed within this many days'),
  keep: Type.Array(Type.String({ minLength: 1, maxLength: 128, example: 'v*' }), {
    maxItems: 100,
    default: [],
    description: 'Keep tags that match these patterns, and do not count them as newest',
  }),
  untaggedDays: days('Days until a manifest that never had a tag becomes garbage'),
  includeImmutable: boolean(false, 'Whether immutable tags can expire, too'),
}

/** One `[[retention]]`: which tags of its repositories expire. */
export const RetentionSchema = table({
  name: Type.String({
    pattern: '^[a-z0-9]+([._-][a-z0-9]+)*$',
    maxLength: 64,
    description: 'Lowercase letters and digits, with ".", "_" or "-" between them',
    example: 'ci',
  }),
  ...RETENTION_SETTINGS,
})
