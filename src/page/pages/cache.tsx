import { Pin, RefreshCw, Trash2 } from 'lucide-preact'
import { Card } from '../parts/card.tsx'
import { Figures } from '../parts/charts/figures.tsx'
import { PageHeader } from '../parts/page-header.tsx'
import { Empty, Shown } from '../parts/states.tsx'
import { type Column, DataTable } from '../parts/tables/data-table.tsx'
import { Bytes, DigestText, Time } from '../parts/tables/values.tsx'
import { attempt, attemptIfSure } from '../parts/toast.tsx'
import { UpstreamCards } from '../parts/upstream-cards.tsx'
import { manifestPath } from '../routes.ts'
import { change, type Item } from '../server/api.ts'
import { useAnswer, useList } from '../server/resource.ts'
import { countOf, formatCount, formatShare } from '../values/format.ts'

type CachedTag = Item<'cache/tags'>

const columns: Column<CachedTag>[] = [
  {
    title: 'Tag',
    cell: ({ repository, tag }) => <a href={manifestPath(repository, tag)}>{`${repository}:${tag}`}</a>,
  },
  { title: 'Digest', class: 'wide', cell: ({ digest }) => <DigestText of={digest} /> },
  {
    title: 'State',
    class: 'wide',
    cell: ({ fresh }) => (
      <span class={fresh ? 'chip good' : 'chip warning'}>{fresh ? 'fresh' : 'stale'}</span>
    ),
  },
  { title: 'Checked', class: 'number wide', cell: ({ checkedAt }) => <Time at={checkedAt} /> },
  { title: 'Actions', class: 'number', cell: (tag) => <TagActs tag={tag} /> },
]

/** The image cache: its upstreams, what is cached, and what is being fetched. */
export function Cache() {
  const pages = useList('cache/tags')
  return (
    <>
      <PageHeader
        title="Cache"
        subtitle="Copies of images from other registries, which are pulled from here."
      />
      <UpstreamCards />
      <Totals />
      <Downloads />
      <Pins />
      <h2>Cached tags</h2>
      <DataTable
        label="Cached tags"
        columns={columns}
        pages={pages}
        keyOf={({ repository, tag }) => `${repository}:${tag}`}
        empty={<Empty title="Nothing is cached yet">Pull an image through an upstream to cache it.</Empty>}
      />
    </>
  )
}

function TagActs({ tag: { repository, tag } }: { tag: CachedTag }) {
  const name = `${repository}:${tag}`
  const evict = () =>
    attemptIfSure(
      {
        title: `Evict ${name}?`,
        text: `This removes ${name} from the cache. The next pull fetches it again from its upstream.`,
        action: 'Evict',
      },
      () => change('post', 'cache/evict', { body: { repository, reference: tag } }),
      `${name} is evicted`,
    )
  return (
    <>
      <button
        type="button"
        class="icon-button small"
        aria-label={`Check ${name} with its upstream`}
        title="Check with its upstream"
        onClick={() =>
          attempt(() => change('post', 'cache/refresh', { body: { repository, tag } }), `${name} is fresh`)
        }
      >
        <RefreshCw aria-hidden />
      </button>
      <button
        type="button"
        class="icon-button small"
        aria-label={`Pin ${name}`}
        title="Pin, so that it is never evicted"
        onClick={() =>
          attempt(
            () => change('put', 'pins', { body: { pattern: repository, reference: tag } }),
            `${name} is pinned, and is not evicted`,
          )
        }
      >
        <Pin aria-hidden />
      </button>
      <button
        type="button"
        class="icon-button small"
        aria-label={`Evict ${name}`}
        title="Evict"
        onClick={evict}
      >
        <Trash2 aria-hidden />
      </button>
    </>
  )
}

function Totals() {
  const found = useAnswer('cache', {}, { isLive: true })
  return (
    <Shown of={found}>
      {({ bytes, bytesMax, blobCount, manifestCount, ...use }) => (
        <Figures
          of={{
            Cached: (
              <>
                <Bytes of={bytes} />
                {bytesMax !== undefined && (
                  <>
                    {' '}
                    of <Bytes of={bytesMax} />
                  </>
                )}
              </>
            ),
            Manifests: formatCount(manifestCount),
            Blobs: formatCount(blobCount),
            'Hit ratio': (
              <span
                title={`${formatCount(use.hitCount)} of ${countOf(use.requestCount, 'request')} since the start`}
              >
                {formatShare(use.hitCount, use.requestCount)}
              </span>
            ),
            Saved: <Bytes of={use.hitBytes} />,
            Downloaded: <Bytes of={use.downloadedBytes} />,
          }}
        />
      )}
    </Shown>
  )
}

function Downloads() {
  const found = useAnswer('cache/downloads', {}, { isLive: true })
  const items = found.data?.items ?? []
  if (items.length === 0) return null
  return (
    <Card title={<>{countOf(items.length, 'download')} in progress</>}>
      <ul class="lines">
        {items.map(({ repository, digest, bytes, receivedBytes }) => (
          <li key={digest} class="between">
            <span>
              {repository} <DigestText of={digest} />
            </span>
            <progress aria-label={`Download of ${digest}`} max={Math.max(bytes, 1)} value={receivedBytes} />
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Pins() {
  const found = useAnswer('pins')
  const items = found.data?.items ?? []
  if (items.length === 0) return null
  return (
    <Card title="Pinned">
      <ul class="lines">
        {items.map(({ pattern, reference, createdAt }) => {
          const query = { pattern, ...(reference !== undefined && { reference }) }
          const name = `${pattern}${reference === undefined ? '' : `:${reference}`}`
          return (
            <li key={name} class="between">
              <span>
                {name}{' '}
                <small>
                  <Time at={createdAt} />
                </small>
              </span>
              <button
                type="button"
                aria-label={`Unpin: ${name}`}
                onClick={() =>
                  attempt(() => change('delete', 'pins', { query }), `${name} can be evicted again`)
                }
              >
                Unpin
              </button>
            </li>
          )
        })}
      </ul>
    </Card>
  )
}
