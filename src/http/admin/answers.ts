import type { adminApi } from './api.ts'

/** The routes of the admin API below /api/v1, with the types that the server declares. */
type Routes = ReturnType<typeof adminApi>['~Routes']['api']['v1']

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

/** The part of the routes at a path such as `repositories/:repository`. */
type At<T, P extends string> = P extends `${infer First}/${infer Rest}`
  ? First extends keyof T
    ? At<T[First], Rest>
    : never
  : P extends keyof T
    ? T[P]
    : never

type Declared<P extends string, M extends Method> = At<Routes, P> extends Record<M, infer R> ? R : never

/** A path that has the method. */
export type Known<P extends string, M extends Method> = Declared<P, M> extends never ? never : P

/** Branded strings, such as digests, become strings: the server validates them. */
type Plain<T> = T extends string
  ? T extends object
    ? string
    : T
  : T extends object
    ? { [K in keyof T]: Plain<T[K]> }
    : T

/** The query of a route. */
export type Query<P extends string, M extends Method> =
  Declared<P, M> extends { query: infer Q } ? Plain<Q> : never
/** The body of a route. */
export type Body<P extends string, M extends Method> =
  Declared<P, M> extends { body: infer B } ? Plain<B> : never

/** The response of a route; undefined for 204. */
export type Answer<P extends string, M extends Method = 'get'> =
  Declared<P, M> extends { response: infer R } ? ContentOf<R> : never

type ContentOf<R> = R extends { 200: infer A } ? A : R extends { 201: infer A } ? A : undefined

/** An entry of the list that a route returns. */
export type Item<P extends string> = Answer<P> extends { items: (infer T)[] } ? T : never
