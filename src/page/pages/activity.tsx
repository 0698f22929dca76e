import { useLocation } from 'preact-iso'
import { EventLine, eventNames, isGone } from '../parts/event-line.tsx'
import { Choice, Filter, Toolbar, useParam } from '../parts/forms/filter.tsx'
import { Tabs } from '../parts/forms/tabs.tsx'
import { PageHeader } from '../parts/page-header.tsx'
import { Empty } from '../parts/states.tsx'
import { type Column, DataTable } from '../parts/tables/data-table.tsx'
import { Time } from '../parts/tables/values.tsx'
import { Timeline } from '../parts/timeline.tsx'
import type { Item } from '../server/api.ts'
import { useList } from '../server/resource.ts'
import { formatCount, visible } from '../values/format.ts'

/** What happened: changes to content, and the audit log. */
export function Activity() {
  const { path } = useLocation()
  return (
    <>
      <PageHeader title="Activity" />
      <Tabs
        label="Kinds of activity"
        current={path}
        tabs={[
          ['/activity', 'Content'],
          ['/activity/audit', 'Audit log'],
        ]}
      />
      {path === '/activity/audit' ? <AuditLog /> : <Events />}
    </>
  )
}

type EventType = keyof typeof eventNames

const types: Record<string, string> = {
  '': 'All changes',
  ...Object.fromEntries(Object.keys(eventNames).map((type) => [type, type])),
}

function Events() {
  const [type, setType] = useParam('type')
  const [repository, setRepository] = useParam('repository')
  const pages = useList('events', {
    query: { type: type in eventNames ? (type as EventType) : undefined, repository },
  })
  return (
    <>
      <Toolbar>
        <Filter label="Full name of a repository" value={repository} set={setRepository} />
        <Choice label="Type of change" value={type} set={setType} options={types} />
      </Toolbar>
      <Timeline
        pages={pages}
        keyOf={({ id }) => id}
        isGone={isGone}
        line={(event) => <EventLine event={event} />}
        empty={<Empty title="No changes" />}
      />
    </>
  )
}

type Entry = Item<'audit'>

const kinds: Record<string, string> = {
  '': 'Changes',
  denied: 'Denied requests',
  'sign-in': 'Sign-ins',
  'failed-sign-in': 'Failed sign-ins',
}

const columns: Column<Entry>[] = [
  {
    title: 'What',
    cell: ({ action, target, account = 'anonymous' }) => (
      <>
        <b>{action}</b> {visible(target)}
        <small class="sub narrow-only">{visible(account)}</small>
      </>
    ),
  },
  { title: 'Who', class: 'wide', cell: ({ account }) => visible(account ?? 'anonymous') },
  { title: 'From', class: 'wide', cell: ({ address }) => address },
  {
    title: 'Details',
    class: 'wider',
    cell: ({ details }) => {
      const text = Object.entries(details)
        .map(([name, value]) => `${name}: ${String(value)}`)
        .join(', ')
      return <small title={text}>{visible(text)}</small>
    },
  },
  { title: 'Times', class: 'number wide', cell: ({ count = 1 }) => formatCount(count) },
  { title: 'When', class: 'number', cell: ({ at }) => <Time at={at} /> },
]

function AuditLog() {
  const [kind, setKind] = useParam('kind')
  const pages = useList('audit', { query: { kind: kind as 'denied' } })
  return (
    <>
      <Toolbar>
        <Choice label="Kind of entries" value={kind} set={setKind} options={kinds} />
      </Toolbar>
      <DataTable
        label="Audit log"
        columns={columns}
        pages={pages}
        keyOf={({ at, requestId, target }) => `${at} ${requestId} ${target}`}
        empty={<Empty title="No entries" />}
      />
    </>
  )
}
