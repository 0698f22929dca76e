import { PullChart } from '../../parts/charts/pull-chart.tsx'
import { Filter, Toolbar, useParam } from '../../parts/forms/filter.tsx'
import { Empty } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { manifestPath } from '../../routes.ts'
import type { Item } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'
import { formatCount, visible } from '../../values/format.ts'

type Pulls = Item<'repositories/:repository/pulls'>

const columnsOf = (repository: string): Column<Pulls>[] => [
  {
    title: 'Who',
    cell: ({ account, tag }) => (
      <>
        <b>{visible(account ?? 'anonymous')}</b>
        <small class="sub narrow-only">{tag ?? 'by digest'}</small>
      </>
    ),
  },
  {
    title: 'What',
    class: 'wide',
    cell: ({ tag }) =>
      tag === undefined ? (
        <span class="muted">by digest</span>
      ) : (
        <a href={manifestPath(repository, tag)}>{tag}</a>
      ),
  },
  { title: 'Pulls', class: 'number', cell: ({ pullCount }) => formatCount(pullCount) },
  { title: 'Day', class: 'number', cell: ({ day }) => <time dateTime={day}>{day}</time> },
]

/** Who pulled what from a repository, by day. */
export function RepositoryPulls({ name }: { name: string }) {
  const [tag, setTag] = useParam('tag')
  const isTag = /^\w[\w.-]{0,127}$/.test(tag)
  const pages = useList('repositories/:repository/pulls', {
    params: { repository: name },
    query: { tag: isTag ? tag : undefined },
  })
  return (
    <>
      <PullChart pulls={pages.items} />
      <Toolbar>
        <Filter label="Full name of a tag" value={tag} set={setTag} />
      </Toolbar>
      <DataTable
        label="Pulls"
        columns={columnsOf(name)}
        pages={pages}
        keyOf={({ day, tag: of = '', account = '' }) => `${day} ${of} ${account}`}
        empty={<Empty title="Nobody has pulled from here in the last 90 days" />}
      />
    </>
  )
}
