import { Type } from '@sinclair/typebox'
import { integer, MiB, table } from './setting.ts'

/** The settings of the verification of stored content. */
export const SCRUB_SETTINGS = table({
  days: integer(0, 3650, 30, 'In how many days all content is verified, a little each minute; 0: never'),
  bytesPerSecondMax: integer(
    64 * 1024,
    1024 * 1024 * MiB,
    20 * MiB,
    'The maximum rate at which verification reads, in bytes per second',
  ),
  hours: Type.String({
    pattern: '^([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-4])$',
    default: '0-24',
    description:
      'The hours of the day in which content is verified, in local time: 1-5, or 22-6 over midnight. A blob that ' +
      'was begun is finished',
  }),
})
