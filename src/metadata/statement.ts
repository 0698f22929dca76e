import { fillPlaceholders, type Placeholder, SQL, sql } from 'drizzle-orm'
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core'
import type { Db } from './database.ts'

declare const value: unique symbol

/** What a parameter takes: Drizzle's own placeholders take anything, under any name. */
interface Kind<T> {
  readonly [value]?: T
}

export const number: Kind<number> = {}
export const text: Kind<string> = {}
export const bytes: Kind<Uint8Array> = {}
export const boolean: Kind<boolean> = {}
export const optional = <T>(kind: Kind<T>): Kind<T | null> => kind

type Kinds = Record<string, Kind<unknown>>
type Values<K extends Kinds> = { [N in keyof K]: K[N] extends Kind<infer T> ? T : never }
type Placeholders<K extends Kinds> = { [N in keyof K & string]: Placeholder<N> }

/** A statement of Drizzle's, before it is prepared, or one in SQL, whose rows have the type that it names. */
type Query = Preparable | SQL

interface Preparable {
  prepare(): { get(values: never): unknown; all(values: never): unknown; run(values: never): unknown }
  toSQL(): { sql: string }
}

type Got<Q> =
  Q extends SQL<infer Row>
    ? Row | undefined
    : Q extends Preparable
      ? ReturnType<ReturnType<Q['prepare']>['get']>
      : never
type All<Q> =
  Q extends SQL<infer Row>
    ? Row[]
    : Q extends Preparable
      ? ReturnType<ReturnType<Q['prepare']>['all']>
      : never

/** A statement of a database, prepared when it is first run: that costs ten times what running it does. */
export interface Statement<Parameters, Q extends Query = Query> {
  /** Returns the first row. */
  get(parameters: Parameters): Got<Q>
  all(parameters: Parameters): All<Q>
  run(parameters: Parameters): void
  text(): string
}

/** Makes a statement of a database, whose parameters have these names and kinds. */
export function statement<const K extends Kinds, Q extends Query>(
  db: Db,
  kinds: K,
  build: (parameters: Placeholders<K>) => Q,
): Statement<Values<K>, Q> {
  const query = () => build(placeholders(kinds))
  let prepared: Statement<Values<K>, Q> | undefined
  const ready = (): Statement<Values<K>, Q> => {
    prepared ??= prepare(db, query()) as Statement<Values<K>, Q>
    return prepared
  }
  const made: Statement<Values<K>, Q> = {
    get: (parameters) => ready().get(parameters),
    all: (parameters) => ready().all(parameters),
    run: (parameters) => ready().run(parameters),
    text: () => {
      const built = query()
      return built instanceof SQL ? dialect.sqlToQuery(built).sql : built.toSQL().sql
    },
  }
  db.statements.push(made)
  return made
}

const dialect = new SQLiteSyncDialect()

function placeholders<K extends Kinds>(kinds: K): Placeholders<K> {
  return Object.fromEntries(
    Object.keys(kinds).map((name) => [name, sql.placeholder(name)]),
  ) as Placeholders<K>
}

function prepare(db: Db, query: Query) {
  if (!(query instanceof SQL)) return query.prepare()
  const { sql, params } = dialect.sqlToQuery(query)
  const prepared = db.$client.prepare<unknown, never[]>(sql)
  const fill = (values: Record<string, unknown>) => fillPlaceholders(params, values) as never[]
  return {
    get: (values: Record<string, unknown>) => prepared.get(...fill(values)) ?? undefined,
    all: (values: Record<string, unknown>) => prepared.all(...fill(values)),
    run: (values: Record<string, unknown>) => prepared.run(...fill(values)),
  }
}
