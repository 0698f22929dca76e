import { type Answer, call } from '../api.ts'
import { countOf } from '../format.ts'
import { type Resource, useResource } from '../resource.ts'
import { repositoryPath } from '../routes.ts'
import { treemap } from '../treemap.ts'
import { FirstSteps } from './first-steps.tsx'
import { Shown } from './states.tsx'
import { Bytes } from './values.tsx'

/** How full the disk is, and what fills it. */
export function DiskCard({ of: found }: { of: Resource<Answer<'storage'>> }) {
  return (
    <section class="card">
      <h2>Disk</h2>
      <Shown of={found}>
        {({ blobs, uploads, disk }) => {
          const content = blobs.bytes + uploads.bytes
          const other = Math.max(disk.totalBytes - disk.freeBytes - content, 0)
          const percent = (bytes: number) => `${(100 * bytes) / Math.max(disk.totalBytes, 1)}%`
          return (
            <>
              <p class="big">
                <Bytes of={disk.freeBytes} /> <small>free of</small> <Bytes of={disk.totalBytes} />
              </p>
              <div class="stack" aria-hidden>
                <span class="content" style={{ width: percent(content) }} />
                <span class="other" style={{ width: percent(other) }} />
              </div>
              <ul class="legend">
                <li class="content">
                  <Bytes of={blobs.bytes} /> in {countOf(blobs.count, 'blob')}
                </li>
                {uploads.count > 0 && (
                  <li class="content">
                    <Bytes of={uploads.bytes} /> in {countOf(uploads.count, 'upload')}
                  </li>
                )}
                <li class="other">
                  <Bytes of={other} /> of other files
                </li>
              </ul>
            </>
          )
        }}
      </Shown>
    </section>
  )
}

const REPOSITORIES_SHOWN = 24

/** A repository that is smaller than the largest one by more than this factor would not be seen. */
const SMALLEST_PART = 50

/** The width of the map divided by its height, as in the styles. */
const ASPECT = 2.4

/** The largest repositories, each with an area in proportion to its size. */
export function StorageMap() {
  const found = useResource('storage map', (signal) =>
    call('get', 'storage/repositories', { query: { sort: 'bytes', limit: REPOSITORIES_SHOWN }, signal }),
  )
  return (
    <section class="card">
      <header>
        <h2>What fills it</h2>
        <small>Darker: not shared with other repositories</small>
      </header>
      <Shown of={found}>
        {({ items }) => {
          if (items.length === 0) return <FirstSteps />
          const largest = items.filter(({ bytes }) => bytes >= (items[0]?.bytes ?? 0) / SMALLEST_PART)
          const areas = treemap(
            largest.map(({ bytes }) => bytes),
            ASPECT,
          )
          return (
            <ul class="map">
              {largest.map(({ repository, bytes, uniqueBytes }, index) => {
                const { left = 0, top = 0, width = 0, height = 0 } = areas[index] ?? {}
                return (
                  <li
                    key={repository}
                    style={{ left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` }}
                  >
                    <a
                      href={repositoryPath(repository)}
                      title={repository}
                      style={{ '--unique': `${Math.round((100 * uniqueBytes) / Math.max(bytes, 1))}%` }}
                    >
                      <span>{repository}</span>
                      <Bytes of={bytes} />
                    </a>
                  </li>
                )
              })}
            </ul>
          )
        }}
      </Shown>
    </section>
  )
}
