import type { Answer } from '../../server/api.ts'
import type { Resource } from '../../server/resource.ts'
import { countOf, formatBytes } from '../../values/format.ts'
import { Card } from '../card.tsx'
import { Shown } from '../states.tsx'
import { Bytes } from '../tables/values.tsx'

/** How full the disk is, and what fills it. */
export function DiskCard({ of: found }: { of: Resource<Answer<'storage'>> }) {
  return (
    <Card title="Disk">
      <Shown of={found}>
        {({ blobs, uploads, disk }) => {
          const content = blobs.bytes + uploads.bytes
          const other = Math.max(disk.totalBytes - disk.freeBytes - content, 0)
          const percent = (bytes: number) => `${(100 * bytes) / Math.max(disk.totalBytes, 1)}%`
          const isLow = disk.freeBytes < disk.freeBytesMin
          return (
            <>
              <p class="big">
                <Bytes of={disk.freeBytes} /> <small>free of</small> <Bytes of={disk.totalBytes} />
              </p>
              <div class="stack" aria-hidden>
                <span class="content" style={{ width: percent(content) }} />
                <span class="other" style={{ width: percent(other) }} />
              </div>
              {disk.freeBytesMin > 0 && (
                <p class={isLow ? 'form-error' : 'muted'}>
                  {isLow
                    ? 'Pushes may fail: below'
                    : `${formatBytes(disk.freeBytes - disk.freeBytesMin)} above`}{' '}
                  the reserve of <Bytes of={disk.freeBytesMin} />
                </p>
              )}
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
    </Card>
  )
}
