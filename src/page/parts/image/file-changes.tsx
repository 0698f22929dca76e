import { useState } from 'preact/hooks'
import { type Answer, call, type Item } from '../../server/api.ts'
import { usePages } from '../../server/resource.ts'
import { untilIndexed } from '../../server/until-indexed.ts'
import { formatCount, visible } from '../../values/format.ts'
import { Card } from '../card.tsx'
import { Empty } from '../states.tsx'
import { DataTable } from '../tables/data-table.tsx'
import { Bytes, DigestText } from '../tables/values.tsx'
import { Indexing } from './indexing.tsx'

type Changes = Answer<'repositories/:repository/manifests/:reference/files/changes'>
type Change = Item<'repositories/:repository/manifests/:reference/files/changes'>

const signs: Record<Change['change'], string> = { added: '+', changed: '±', removed: '−' }

interface FileChangesProps {
  repository: string
  from: string
  to: string
}

/** Compares the files of two images when somebody asks for it, because it reads all their layers. */
export function FileChanges(props: FileChangesProps) {
  const [isAsked, setAsked] = useState(false)
  return (
    <Card title="Files">
      {isAsked ? (
        <ChangeList {...props} />
      ) : (
        <p>
          <button type="button" onClick={() => setAsked(true)}>
            Compare files
          </button>
        </p>
      )}
    </Card>
  )
}

function ChangeList({ repository, from, to }: FileChangesProps) {
  const [state, setState] = useState<Pick<Changes, 'indexing' | 'summary'>>({})
  const pages = usePages(`changes ${repository} ${from} ${to}`, (part, signal) => {
    const asked = { params: { repository, reference: from }, query: { to, ...part }, signal }
    const path = 'repositories/:repository/manifests/:reference/files/changes'
    return untilIndexed(signal, () => call('get', path, asked), setState)
  })
  const { indexing, summary } = state
  if (indexing && !pages.error) return <Indexing of={indexing} />
  return (
    <>
      {summary && (
        <p>
          {formatCount(summary.added)} added, {formatCount(summary.changed)} changed,{' '}
          {formatCount(summary.removed)} removed{summary.truncated && '; more are left out'}
        </p>
      )}
      <DataTable<Change>
        label="Changed files"
        pages={pages}
        keyOf={(change) => change.path}
        columns={[
          {
            title: 'Path',
            cell: ({ path, change, differs }) => (
              <span>
                <b aria-hidden>{signs[change]}</b> <span class="hidden">{change}</span> {visible(path)}{' '}
                <small>{differs.join(', ')}</small>
              </span>
            ),
          },
          { title: 'Before', class: 'number', cell: ({ from }) => from && <Bytes of={from.bytes} /> },
          { title: 'After', class: 'number', cell: ({ to }) => to && <Bytes of={to.bytes} /> },
          {
            title: 'Layer',
            class: 'wide',
            cell: ({ from, to }) => <DigestText of={(to ?? from)?.layer ?? ''} />,
          },
        ]}
        empty={<Empty title="The files are the same" />}
      />
    </>
  )
}
