import type { AccountsRoutes } from './accounts/models.ts'
import type { CacheRoutes } from './cache/models.ts'
import type { ContentRoutes } from './content/models.ts'
import type { StorageRoutes } from './content/storage-models.ts'
import type { FilesRoutes } from './files/models.ts'
import type { GarbageRoutes } from './garbage/models.ts'
import type { HistoryRoutes } from './history/models.ts'
import type { AnswerOf, ItemOf, Method, Plain, RouteAt } from './http/operation.ts'
import type { IntegrityRoutes } from './integrity/models.ts'
import type { JobsRoutes } from './jobs/models.ts'
import type { OperationRoutes } from './operation/models.ts'
import type { QuotaRoutes } from './quota/models.ts'
import type { RetentionRoutes } from './retention/models.ts'

/**
 * The admin API as its clients know it: the routes below /api/v1 by path, with what each takes and returns. It names the
 * models of the capabilities and none of their code. `app/administration.ts` does not compile if a route differs.
 */
export type Contract = AccountsRoutes &
  CacheRoutes &
  ContentRoutes &
  FilesRoutes &
  GarbageRoutes &
  HistoryRoutes &
  IntegrityRoutes &
  JobsRoutes &
  OperationRoutes &
  QuotaRoutes &
  RetentionRoutes &
  StorageRoutes

/** A path that has the method. */
export type Known<P extends string, M extends Method> = RouteAt<Contract, P, M> extends never ? never : P

/** The query of a route. */
export type Query<P extends string, M extends Method> =
  RouteAt<Contract, P, M> extends { query: infer Q } ? Plain<Q> : never
/** The body of a route. */
export type Body<P extends string, M extends Method> =
  RouteAt<Contract, P, M> extends { body: infer B } ? Plain<B> : never

/** The response of a route; undefined for 204. */
export type Answer<P extends string, M extends Method = 'get'> = AnswerOf<Contract, P, M>

/** An entry of the list that a route returns. */
export type Item<P extends string> = ItemOf<Contract, P>
