import { and, asc, desc, eq, getTableColumns, gt, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { getTableConfig, type SQLiteColumn, type SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { Db } from './database.ts'
import { type Query, type Statement, statement } from './statement.ts'

/*
 * Statements on the rows of one table, whose parameters are named and typed as its columns. A database has one of each,
 * however often it is asked for.
 */

type Row<T extends SQLiteTable> = T['$inferSelect']
type Name<T extends SQLiteTable> = keyof Row<T> & string

/** Selects the rows with these values. */
export const selectBy = <T extends SQLiteTable, N extends Name<T> = never>(db: Db, table: T, ...names: N[]) =>
  once<Pick<Row<T>, N>, SQL<Row<T>>>(db, ['select', table, names], (values) =>
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
  once<Pick<Row<T>, N> & { last: Row<T>[K]; limit: number }, SQL<Row<T>>>(
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
  once<Pick<Row<T>, S | N>, SQL>(db, [`update ${changed}`, table, [...changed, ...names]], (values) =>
    db
      .update(table as SQLiteTable)
      .set(Object.fromEntries(changed.map((name) => [name, parameterOf(table, name, values)])))
      .where(matching(table, names, values)),
  )

/** Deletes the rows with these values. */
export const deleteBy = <T extends SQLiteTable, N extends Name<T> = never>(db: Db, table: T, ...names: N[]) =>
  once<Pick<Row<T>, N>, SQL>(db, ['delete', table, names], (values) =>
    db.delete(table as SQLiteTable).where(matching(table, names, values)),
  )

type Values = Record<string, Placeholder>

function once<P, Q extends Query>(
  db: Db,
  [kind, table, names]: [kind: string, table: SQLiteTable, names: string[]],
  build: (values: Values) => Query,
) {
  const kinds = Object.fromEntries(names.map((name) => [name, {}]))
  const key = `${kind} ${getTableConfig(table).name} ${names}`
  return statement(db, kinds, build, key) as unknown as Statement<P, Q>
}

function inserting(db: Db, table: SQLiteTable, row: Values) {
  const values = namesOf(table).map((name) => {
    const { default: otherwise } = columnOf(table, name)
    const value = parameterOf(table, name, row)
    return [name, otherwise === undefined ? value : sql`coalesce(${value}, ${otherwise})`]
  })
  return db.insert(table).values(Object.fromEntries(values))
}

function matching(table: SQLiteTable, names: string[], values: Values): SQL | undefined {
  return and(...names.map((name) => eq(columnOf(table, name), values[name])))
}

const namesOf = (table: SQLiteTable) => Object.keys(getTableColumns(table))

const columnOf = (table: SQLiteTable, name: string) => getTableColumns(table)[name] as SQLiteColumn

/** Returns a value that is converted as the column is. */
const parameterOf = (table: SQLiteTable, name: string, values: Values) =>
  sql`${sql.param(values[name], columnOf(table, name))}`
