import { Choice, Filter, Toolbar, useParam } from '../parts/forms/filter.tsx'
import { PolicyCards, PolicyForm } from '../parts/policy-cards.tsx'
import { RetentionRuns } from '../parts/retention-runs.tsx'
import { Empty } from '../parts/states.tsx'
import { type Column, DataTable } from '../parts/tables/data-table.tsx'
import { Time } from '../parts/tables/values.tsx'
import { attemptIfSure } from '../parts/toast.tsx'
import { manifestPath } from '../routes.ts'
import { call, change, type Item } from '../server/api.ts'
import { useList } from '../server/resource.ts'
import { countOf, visible } from '../values/format.ts'

const TAGS_COUNTED = 500

/** Applies the retention policies, after it has asked whether to delete the tags that they expire. */
export async function runRetention(): Promise<void> {
  const ask = async () => {
    const query = { expiring: true, limit: TAGS_COUNTED }
    const { items, nextCursor } = await call('get', 'retention/test', { query })
    const tags = `${nextCursor === undefined ? '' : 'at least '}${countOf(items.length, 'tag')}`
    return {
      title: 'Apply the retention policies now?',
      text: `This deletes ${tags}. They can be restored as long as deleted content is kept.`,
      action: 'Delete the tags',
    }
  }
  await attemptIfSure(
    ask,
    () => change('post', 'jobs', { body: { kind: 'retain' } }),
    'Retention has started',
  )
}

/** The retention policies, what they would delete, and what they have deleted. */
export function Retention() {
  return (
    <>
      <div class="between">
        <p class="muted">Policies delete old tags. A tag stays if any policy of its repository keeps it.</p>
        <span class="actions">
          <button type="button" onClick={runRetention}>
            Run now
          </button>
          <PolicyForm />
        </span>
      </div>
      <PolicyCards />
      <h2>What they would do now</h2>
      <DryRun />
      <h2>What they have deleted</h2>
      <RetentionRuns />
    </>
  )
}

type Tested = Item<'retention/test'>

const columns: Column<Tested>[] = [
  {
    title: 'Tag',
    cell: ({ repository, tag, reason }) => (
      <>
        <a href={manifestPath(repository, tag)}>{`${repository}:${tag}`}</a>
        <small class="sub narrow-only">{visible(reason)}</small>
      </>
    ),
  },
  {
    title: 'Decision',
    cell: ({ expires }) => (
      <span class={expires ? 'chip bad' : 'chip good'}>{expires ? 'expires' : 'stays'}</span>
    ),
  },
  {
    title: 'Why',
    class: 'wide',
    cell: ({ reason, policy }) => (
      <span title={reason}>{visible(policy === undefined ? reason : `${policy}: ${reason}`)}</span>
    ),
  },
  { title: 'Pushed', class: 'number wide', cell: ({ pushedAt }) => <Time at={pushedAt} /> },
  { title: 'Last pull', class: 'number wider', cell: ({ lastPulledAt }) => <Time at={lastPulledAt} /> },
]

function DryRun() {
  const [repository, setRepository] = useParam('repository')
  const [shown, setShown] = useParam('tags')
  const pages = useList('retention/test', {
    query: { repository, expiring: shown === 'all' ? undefined : true },
  })
  return (
    <>
      <Toolbar>
        <Filter label="Full name of a repository" value={repository} set={setRepository} />
        <Choice
          label="Tags"
          value={shown}
          set={setShown}
          options={{ '': 'Tags to be deleted', all: 'All tags' }}
        />
      </Toolbar>
      <DataTable
        label="What the policies would do"
        columns={columns}
        pages={pages}
        keyOf={({ repository: name, tag }) => `${name}:${tag}`}
        empty={<Empty title={shown === 'all' ? 'No tags' : 'No tag would be deleted'} />}
      />
    </>
  )
}
