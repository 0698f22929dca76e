import type { ComponentChildren } from 'preact'
import type { Pages } from '../server/resource.ts'
import { Failure, Loading } from './states.tsx'

interface TimelineProps<T> {
  pages: Pages<T>
  keyOf: (item: T, index: number) => string | number
  /** Whether what an item is about is gone afterwards. */
  isGone: (item: T) => boolean
  line: (item: T) => ComponentChildren
  /** Shown instead of a timeline without items. */
  empty: ComponentChildren
}

/** What happened, the latest first; what is earlier is read on demand. */
export function Timeline<T>({ pages, keyOf, isGone, line, empty }: TimelineProps<T>) {
  const { items, error, hasMore, more } = pages
  if (pages.isLoading) return <Loading />
  return (
    <>
      {items.length === 0 && !error && empty}
      {items.length > 0 && (
        <ol class="timeline">
          {items.map((item, index) => (
            <li key={keyOf(item, index)} class={isGone(item) ? 'gone' : ''}>
              {line(item)}
            </li>
          ))}
        </ol>
      )}
      {error && <Failure error={error} retry={more} />}
      {hasMore && !error && (
        <button type="button" class="more" onClick={more}>
          Show earlier
        </button>
      )}
    </>
  )
}
