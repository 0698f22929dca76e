import { Column, is, Param, Placeholder, SQL, sql } from 'drizzle-orm'
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core'
import type { Db } from './database.ts'

declare const value: unique symbol

/** The type of a parameter. Drizzle's own placeholders accept any type and any name. */
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

/** A Drizzle statement that is not yet prepared, or SQL with the type of its rows. */
export type Query = Preparable | SQL

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

/**
 * A statement of a database. It is prepared at its first use, because preparing costs ten times as much as running
 * it.
 */
export interface Statement<Parameters, Q extends Query = Query> {
  /** Returns the first row. */
  get(parameters: Parameters): Got<Q>
  all(parameters: Parameters): All<Q>
  run(parameters: Parameters): void
  text(): string
}

/** Creates a statement of a database with these parameters, or returns the one that has this key. */
export function statement<const K extends Kinds, Q extends Query>(
  db: Db,
  kinds: K,
  build: (parameters: Placeholders<K>) => Q,
  key: unknown = build,
): Statement<Values<K>, Q> {
  const known = db.statements.get(key)
  if (known !== undefined) return known as Statement<Values<K>, Q>
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
  db.statements.set(key, made)
  return made
}

const dialect = new SQLiteSyncDialect()

function placeholders<K extends Kinds>(kinds: K): Placeholders<K> {
  return Object.fromEntries(
    Object.keys(kinds).map((name) => [name, sql.placeholder(name)]),
  ) as Placeholders<K>
}

function prepare(db: Db, query: Query) {
  if (query instanceof SQL) {
    const { sql, params } = dialect.sqlToQuery(query)
    const prepared = db.$client.prepare<unknown, never[]>(sql)
    const fill = filler(params)
    return {
      get: (values: Row) => prepared.get(...fill(values)) ?? undefined,
      all: (values: Row) => prepared.all(...fill(values)),
      run: (values: Row) => prepared.run(...fill(values)),
    }
  }
  const { stmt, query: built, fields } = query.prepare() as unknown as DrizzlePrepared
  const fill = filler(built.params)
  const toRow = rowReader(fields ?? [])
  return {
    get(values: Row) {
      const [row] = stmt.values(...fill(values))
      return row && toRow(row)
    },
    all: (values: Row) => stmt.values(...fill(values)).map(toRow),
    run: (values: Row) => stmt.run(...fill(values)),
  }
}

type Row = Record<string, unknown>

/** The parts that Drizzle prepares. Drizzle can also bind and map, but that takes longer than most statements. */
interface DrizzlePrepared {
  stmt: { values(...values: never[]): unknown[][]; run(...values: never[]): unknown }
  query: { params: unknown[] }
  fields?: { path: string[]; field: unknown }[]
}

/** Returns a function that binds values to the parameters. */
function filler(params: unknown[]): (values: Row) => never[] {
  const parts = params.map((param) => {
    if (is(param, Placeholder)) return ({ [param.name]: value }: Row) => value ?? null
    if (!is(param, Param) || !is(param.value, Placeholder)) return () => param
    const { value: placeholder, encoder } = param
    return ({ [placeholder.name]: value }: Row) => (value == null ? null : encoder.mapToDriverValue(value))
  })
  return (values) => parts.map((part) => part(values)) as never[]
}

/** Returns a function that converts a row's values to an object. */
function rowReader(fields: { path: string[]; field: unknown }[]): (values: unknown[]) => Row {
  const columns = fields.map(({ path: [name = '', ...rest], field }) => {
    if (rest.length > 0) throw new Error(`a statement selects ${name} as an object: select its columns`)
    const decoder = is(field, Column) ? field : is(field, SQL.Aliased) ? field.sql.getSQL() : (field as SQL)
    const read =
      'decoder' in decoder ? (decoder as unknown as { decoder: Column }).decoder : (decoder as Column)
    return { name, read }
  })
  return (values) => {
    const row: Row = {}
    for (let at = 0; at < columns.length; at++) {
      const { name, read } = columns[at] as (typeof columns)[number]
      const value = values[at]
      row[name] = value === null ? null : read.mapFromDriverValue(value)
    }
    return row
  }
}
