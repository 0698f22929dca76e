import type { ComponentChildren } from 'preact'
import type { ApiError } from '../server/api.ts'
import type { Resource } from '../server/resource.ts'
import { PageHeader } from './page-header.tsx'

/** Says that there is nothing to show, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  )
}

/** Says why something cannot be shown. */
export function Failure({ error, retry }: { error: ApiError; retry?: () => void }) {
  return (
    <div class="failure" role="alert">
      <p>{error.message}</p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  )
}

/** Takes the place of something that is being read. It appears only if that takes a while. */
export function Loading() {
  return (
    <div class="loading" role="status">
      <span class="hidden">Loading</span>
    </div>
  )
}

interface ShownProps<T> {
  of: Pick<Resource<T>, 'data' | 'error' | 'reload'>
  /** The title of the page, if this is all of it. */
  title?: string
  children: (data: T) => ComponentChildren
}

/** Shows a resource, or why it is missing. */
export function Shown<T>({ of: { data, error, reload }, title, children }: ShownProps<T>) {
  if (data !== undefined) return <>{children(data)}</>
  if (error === undefined) return <Loading />
  return (
    <>
      {title !== undefined && <PageHeader title={title} />}
      <Failure error={error} retry={reload} />
    </>
  )
}
