import { repositoryPath } from '../../routes.ts'
import type { Item } from '../../server/api.ts'
import { useAnswer } from '../../server/resource.ts'
import { type StorageParts, storageParts } from '../../server/storage-parts.ts'
import { formatBytes } from '../../values/format.ts'
import { type Rectangle, treemap } from '../../values/treemap.ts'
import { Card } from '../card.tsx'
import { FirstSteps } from '../first-steps.tsx'
import { Shown } from '../states.tsx'
import { Bytes } from '../tables/values.tsx'

const REPOSITORIES_SHOWN = 24

/** A repository that is smaller than the largest one by more than this factor would not be seen. */
const SMALLEST_PART = 50

/** The width of the map divided by its height, as in the styles. */
const ASPECT = 2.4

type Stored = Item<'storage/repositories'>

const partNames: Record<keyof StorageParts, string> = {
  own: 'only in this repository',
  shared: 'shared with others',
  cached: 'cached',
  deleted: 'deleted, not yet freed',
}

const parts = Object.keys(partNames) as (keyof StorageParts)[]

/** The largest repositories, each with an area in proportion to its size, and what their bytes are. */
export function StorageMap() {
  const found = useAnswer('storage/repositories', { query: { sort: 'bytes', limit: REPOSITORIES_SHOWN } })
  return (
    <Card title="What fills it">
      <Shown of={found}>
        {({ items }) => {
          const largest = items.filter(
            ({ bytes }) => bytes > 0 && bytes >= (items[0]?.bytes ?? 0) / SMALLEST_PART,
          )
          if (largest.length === 0) return <FirstSteps />
          const divided = largest.map(storageParts)
          const areas = treemap(
            largest.map(({ bytes }) => bytes),
            ASPECT,
          )
          return (
            <>
              <ul class="map">
                {largest.map((stored, index) => (
                  <Tile
                    key={`${stored.repository} ${stored.deletedAt}`}
                    of={stored}
                    area={areas[index]}
                    parts={divided[index]}
                  />
                ))}
              </ul>
              <Legend of={divided} />
            </>
          )
        }}
      </Shown>
    </Card>
  )
}

interface TileProps {
  of: Stored
  area: Rectangle | undefined
  parts: StorageParts | undefined
}

function Tile({ of, area, parts: divided }: TileProps) {
  const { repository, bytes, deletedAt } = of
  const { left = 0, top = 0, width = 0, height = 0 } = area ?? {}
  const shown = parts.filter((part) => (divided?.[part] ?? 0) > 0)
  const words = shown.map((part) => `${formatBytes(divided?.[part] ?? 0)} ${partNames[part]}`)
  return (
    <li style={{ left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` }}>
      <a
        href={deletedAt === undefined ? repositoryPath(repository) : '/repositories?deleted=true'}
        title={`${repository}: ${words.join(', ')}`}
      >
        <span class="map-parts" aria-hidden>
          {shown.map((part) => (
            <span key={part} class={part} style={{ flexGrow: `${divided?.[part] ?? 0}` }} />
          ))}
        </span>
        <b>{repository}</b>
        <Bytes of={bytes} />
      </a>
    </li>
  )
}

function Legend({ of }: { of: readonly StorageParts[] }) {
  return (
    <ul class="legend">
      {parts.map((part) => {
        const bytes = of.reduce((sum, one) => sum + one[part], 0)
        return bytes === 0 ? null : (
          <li key={part} class={part}>
            <Bytes of={bytes} /> {partNames[part]}
          </li>
        )
      })}
    </ul>
  )
}
