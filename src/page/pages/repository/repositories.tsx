import { Choice, Filter, Toolbar, useParam } from '../../parts/forms/filter.tsx'
import { PushHelp } from '../../parts/forms/push-help.tsx'
import { PageHeader } from '../../parts/page-header.tsx'
import { Empty } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { Bytes, Time } from '../../parts/tables/values.tsx'
import { attempt } from '../../parts/toast.tsx'
import { repositoryPath } from '../../routes.ts'
import { change, type Item } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'
import { caller } from '../../server/session.ts'
import { countOf, formatCount, visible } from '../../values/format.ts'
import { SignIn } from '../accounts/sign-in.tsx'

type ListedRepository = Item<'repositories'>

const columns: Column<ListedRepository>[] = [
  {
    title: 'Name',
    cell: ({ name, description, tagCount, bytes }) => (
      <>
        <a href={repositoryPath(name)}>{name}</a>
        <small class="sub wide-only">{visible(description)}</small>
        <small class="sub narrow-only">
          {countOf(tagCount, 'tag')} · <Bytes of={bytes} />
        </small>
      </>
    ),
  },
  { title: 'Tags', class: 'number wide', cell: ({ tagCount }) => formatCount(tagCount) },
  { title: 'Size', class: 'number wide', cell: ({ bytes }) => <Bytes of={bytes} /> },
  { title: 'Pulls', class: 'number wide', cell: ({ pullCount }) => formatCount(pullCount) },
  { title: 'Last push', class: 'number', cell: ({ lastPushedAt }) => <Time at={lastPushedAt} /> },
]

const deletedColumns: Column<ListedRepository>[] = [
  { title: 'Name', cell: ({ name }) => <b>{name}</b> },
  { title: 'Size', class: 'number wide', cell: ({ bytes }) => <Bytes of={bytes} /> },
  { title: 'Deleted', class: 'number', cell: ({ deletedAt }) => <Time at={deletedAt} /> },
  {
    title: 'Can be restored until',
    class: 'number wide',
    cell: ({ restorableUntil }) => <Time at={restorableUntil} />,
  },
  {
    title: 'Restore',
    class: 'number',
    cell: ({ name, deletedAt }) => (
      <button
        type="button"
        onClick={() =>
          attempt(
            () =>
              change('post', 'repositories/:repository/restore', {
                params: { repository: name },
                body: { ...(deletedAt !== undefined && { deletedAt }) },
              }),
            `${name} is restored`,
          )
        }
      >
        Restore
      </button>
    ),
  },
]

/** The repositories that the caller may see, with a search as you type. */
export function Repositories() {
  const [q, setQ] = useParam('q')
  const [deleted, setDeleted] = useParam('deleted')
  const isDeleted = deleted === 'true'
  const mayList = caller.value?.catalogAccess === true
  const pages = useList('repositories', mayList && { query: { q, deleted: isDeleted || undefined } })
  if (!mayList) return <SignIn />
  const nothing =
    q === '' ? (
      <Empty title="No repositories yet">
        <PushHelp />
      </Empty>
    ) : (
      <Empty title={`No repository matches "${q}"`} />
    )
  return (
    <>
      <PageHeader title="Repositories" />
      <Toolbar>
        <Filter label="Filter by name or description" value={q} set={setQ} />
        {caller.value?.account !== undefined || caller.value?.openAccess ? (
          <Choice
            label="Show"
            value={deleted}
            set={setDeleted}
            options={{ '': 'Existing', true: 'Deleted' }}
          />
        ) : null}
      </Toolbar>
      <DataTable
        label={isDeleted ? 'Deleted repositories' : 'Repositories'}
        columns={isDeleted ? deletedColumns : columns}
        pages={pages}
        keyOf={({ name, deletedAt = '' }) => `${name} ${deletedAt}`}
        empty={isDeleted ? <Empty title="Nothing deleted can be restored" /> : nothing}
      />
    </>
  )
}
