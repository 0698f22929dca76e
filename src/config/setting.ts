import { type TProperties, Type } from '@sinclair/typebox'

export const MiB = 1024 * 1024
export const TiB = MiB * MiB

/** A whole number. */
export const integer = (minimum: number, maximum: number, value: number, description: string) =>
  Type.Integer({ minimum, maximum, default: value, description })

/** One of these words. */
export const choice = <const T extends string[]>(values: T, value: T[number], description: string) =>
  Type.Union(
    values.map((name) => Type.Literal(name as T[number])),
    { default: value, description },
  )

/** Yes or no. */
export const boolean = (value: boolean, description: string) => Type.Boolean({ default: value, description })

/** Text that has no default. */
export const text = (description: string) => Type.Optional(Type.String({ minLength: 1, description }))

/** Texts, none by default. */
export const list = (description: string) => Type.Array(Type.String(), { default: [], description })

/** A table with these keys and no others. */
export const table = <const T extends TProperties>(properties: T) =>
  Type.Object(properties, { additionalProperties: false })
