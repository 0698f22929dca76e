import { Type } from '@sinclair/typebox'
import { integer, MiB } from './setting.ts'

/** The settings of the verification of stored content. */
export const SCRUB_SETTINGS = Type.Object(
  {
    days: integer(0, 3650, 30, 'In how many days all content is verified, a little each minute; 0: never'),
    bytesPerSecondMax: integer(
      64 * 1024,
      1024 * 1024 * MiB,
      20 * MiB,
      'The most bytes that verification reads in a second',
    ),
  },
  { additionalProperties: false },
)
