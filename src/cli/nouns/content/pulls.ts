import type { Item } from '../../../http/admin/answers.ts'
import { CommandError, EXIT } from '../../failure.ts'
import type { Card, Listing } from '../../output/answer.ts'
import { type Field, field, formatTags, formatText } from '../../output/format.ts'
import { type AdminClient, apiPath, type Page, withQuery } from '../../remote/admin-client.ts'

type DailyPulls = Item<'repositories/:repository/pulls'>

/** How many rows of the API a card adds up, and how many accounts it shows. */
const ROWS_MAX = 500
const ACCOUNTS_MAX = 10

const ACCOUNT = field('account', '', (row) => formatText((row as DailyPulls).account ?? 'anonymous'))

const COLUMNS: readonly Field[] = [
  field('day', 'day'),
  field('tag', '', (row, terminal) => formatTags((row as DailyPulls).tag ?? '(by digest)', terminal)),
  ACCOUNT,
  field('pulls', 'pullCount', 'count'),
]

/** Lists who pulled from a repository. */
export function pullsOf(repository: string, tag: string | undefined): Listing {
  return {
    list: withQuery(`${apiPath('repositories', repository)}/pulls`, { tag }),
    columns: COLUMNS,
    none: 'Nobody pulled it in the last 90 days.',
  }
}

/** Returns the table of the accounts that pulled most recently. There is none for callers who cannot see them. */
export async function pullersOf(
  client: AdminClient,
  repository: string,
  tag?: string,
): Promise<NonNullable<Card['tables']>> {
  const { list } = pullsOf(repository, tag)
  try {
    const { items, nextCursor } = await client.request<Page>('GET', withQuery(list, { limit: ROWS_MAX }))
    const accounts = byAccount(items as DailyPulls[])
    if (accounts.length === 0) return []
    const isAll = nextCursor === undefined && accounts.length <= ACCOUNTS_MAX
    return [
      {
        title: isAll
          ? 'Pulled by, in the last 90 days'
          : 'Most recently pulled by (cay repo pulls lists all)',
        items: accounts.slice(0, ACCOUNTS_MAX),
        columns: [ACCOUNT, field('pulls', 'pullCount', 'count'), field('last', 'day')],
      },
    ]
  } catch (error) {
    if (error instanceof CommandError && error.exit === EXIT.denied) return []
    throw error
  }
}

/** Adds up the pulls of each account. The rows are in order of days, newest first, and so are the accounts. */
function byAccount(rows: readonly DailyPulls[]): DailyPulls[] {
  const accounts = new Map<string | undefined, DailyPulls>()
  for (const row of rows) {
    const before = accounts.get(row.account)
    accounts.set(row.account, { ...(before ?? row), pullCount: (before?.pullCount ?? 0) + row.pullCount })
  }
  return [...accounts.values()]
}
