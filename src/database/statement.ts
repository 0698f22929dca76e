import {
  and,
  asc,
  Column,
  desc,
  eq,
  getTableColumns,
  gt,
  is,
  lt,
  Param,
  Placeholder,
  SQL,
  sql,
} from 'drizzle-orm'
import {
  getTableConfig,
  type SQLiteColumn,
  SQLiteSyncDialect,
  type SQLiteTable,
} from 'drizzle-orm/sqlite-core'
import { turn } from '../runtime/clock.ts'
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

/**
 * A statement of a database. It is prepared at its first use, because preparing costs ten times as much as running
 * it.
 */
interface Statement<Parameters, Q extends Query = Query> {
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

/*
 * Statements on the rows of one table, whose parameters are named and typed as its columns. A database has one of each,
 * however often it is asked for.
 */

type TableRow<T extends SQLiteTable> = T['$inferSelect']
type Name<T extends SQLiteTable> = keyof TableRow<T> & string

/** Selects the rows with these values. */
export const selectBy = <T extends SQLiteTable, N extends Name<T> = never>(db: Db, table: T, ...names: N[]) =>
  once<Pick<TableRow<T>, N>, SQL<TableRow<T>>>(db, ['select', table, names], (values) =>
    db
      .select()
      .from(table as SQLiteTable)
      .where(matching(table, names, values)),
  )

/** Selects at most `limit` of the rows with these values: those after `last` in the order of the column `by`. */
export const pageBy = <T extends SQLiteTable, K extends Name<T>, N extends Name<T> = never>(
  db: Db,
  table: T,
  [by, order]: [by: K, order: 'asc' | 'desc'],
  ...names: N[]
) =>
  once<Pick<TableRow<T>, N> & { last: TableRow<T>[K]; limit: number }, SQL<TableRow<T>>>(
    db,
    [`page ${by} ${order}`, table, [...names, 'last', 'limit']],
    ({ last, limit, ...values }) => {
      const column = columnOf(table, by)
      return db
        .select()
        .from(table as SQLiteTable)
        .where(and(matching(table, names, values), order === 'asc' ? gt(column, last) : lt(column, last)))
        .orderBy(order === 'asc' ? asc(column) : desc(column))
        .limit(limit as Placeholder)
    },
  )

/** Adds a row. Omitted columns are null, or have their default. */
export const insertInto = <T extends SQLiteTable>(db: Db, table: T) =>
  once<T['$inferInsert'], SQL>(db, ['insert', table, namesOf(table)], (row) => inserting(db, table, row))

/** Adds a row and returns its id. */
export const insertForId = <T extends SQLiteTable>(db: Db, table: T) =>
  once<T['$inferInsert'], Inserted>(db, ['insert for id', table, namesOf(table)], (row) =>
    inserting(db, table, row).returning({ id: columnOf(table, 'id') }),
  )

interface Inserted {
  prepare(): { get(): { id: number }; all(): never; run(): never }
  toSQL(): { sql: string }
}

/** Adds a row unless there is one with its key. */
export const insertNew = <T extends SQLiteTable>(db: Db, table: T) =>
  once<T['$inferInsert'], SQL>(db, ['insert new', table, namesOf(table)], (row) =>
    inserting(db, table, row).onConflictDoNothing(),
  )

/** Adds a row, or replaces all values of the one with its primary key. */
export const putInto = <T extends SQLiteTable>(db: Db, table: T) =>
  once<T['$inferInsert'], SQL>(db, ['put', table, namesOf(table)], (row) => {
    const { columns, primaryKeys } = getTableConfig(table)
    const target = primaryKeys[0]?.columns ?? columns.filter(({ primary }) => primary)
    const set = namesOf(table)
      .map((name) => [name, columnOf(table, name)] as const)
      .filter(([, column]) => !target.includes(column))
      .map(([name, column]) => [name, sql`excluded.${sql.identifier(column.name)}`])
    return inserting(db, table, row).onConflictDoUpdate({ target, set: Object.fromEntries(set) })
  })

/** Changes columns of the rows with these values. */
export const updateBy = <T extends SQLiteTable, S extends Name<T>, N extends Name<T> = never>(
  db: Db,
  table: T,
  changed: S[],
  ...names: N[]
) =>
  once<Pick<TableRow<T>, S | N>, SQL>(db, [`update ${changed}`, table, [...changed, ...names]], (values) =>
    db
      .update(table as SQLiteTable)
      .set(Object.fromEntries(changed.map((name) => [name, parameterOf(table, name, values)])))
      .where(matching(table, names, values)),
  )

/** Deletes the rows with these values. */
export const deleteBy = <T extends SQLiteTable, N extends Name<T> = never>(db: Db, table: T, ...names: N[]) =>
  once<Pick<TableRow<T>, N>, SQL>(db, ['delete', table, names], (values) =>
    db.delete(table as SQLiteTable).where(matching(table, names, values)),
  )

type TableValues = Record<string, Placeholder>

function once<P, Q extends Query>(
  db: Db,
  [kind, table, names]: [kind: string, table: SQLiteTable, names: string[]],
  build: (values: TableValues) => Query,
) {
  const kinds = Object.fromEntries(names.map((name) => [name, {}]))
  const key = `${kind} ${getTableConfig(table).name} ${names}`
  return statement(db, kinds, build, key) as unknown as Statement<P, Q>
}

function inserting(db: Db, table: SQLiteTable, row: TableValues) {
  const values = namesOf(table).map((name) => {
    const { default: otherwise } = columnOf(table, name)
    const value = parameterOf(table, name, row)
    return [name, otherwise === undefined ? value : sql`coalesce(${value}, ${otherwise})`]
  })
  return db.insert(table).values(Object.fromEntries(values))
}

function matching(table: SQLiteTable, names: string[], values: TableValues): SQL | undefined {
  return and(...names.map((name) => eq(columnOf(table, name), values[name])))
}

const namesOf = (table: SQLiteTable) => Object.keys(getTableColumns(table))

const columnOf = (table: SQLiteTable, name: string) => getTableColumns(table)[name] as SQLiteColumn

/** Returns a value that is converted as the column is. */
const parameterOf = (table: SQLiteTable, name: string, values: TableValues) =>
  sql`${sql.param(values[name], columnOf(table, name))}`

/** How many rows are examined in one turn of some milliseconds. */
const ROWS_A_TURN = 1000

/**
 * Returns the first rows after `after` in an order that no index has, because each push would have to update it. Other
 * requests get turns meanwhile.
 *
 * @param read returns at most `size` rows after `last`, in the order of an index
 */
export async function firstRows<Row>(
  read: (last: Row | undefined, size: number) => Row[],
  compare: (a: Row, b: Row) => number,
  limit: number,
  after?: Row,
): Promise<Row[]> {
  let found: Row[] = []
  for (let last: Row | undefined; ; await turn()) {
    const rows = read(last, ROWS_A_TURN)
    found.push(...rows.filter((row) => after === undefined || compare(after, row) < 0))
    found = found.sort(compare).slice(0, limit)
    if (rows.length < ROWS_A_TURN) return found
    last = rows.at(-1)
  }
}
