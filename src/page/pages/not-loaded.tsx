import { PageHeader } from '../parts/page-header.tsx'
import { Empty } from '../parts/states.tsx'

/** Shown instead of a page whose code could not be loaded, such as after an upgrade of the server. */
export function NotLoaded() {
  return (
    <>
      <PageHeader title="Not loaded" />
      <Empty title="This page could not be loaded">
        <p>The server cannot be reached, or has been upgraded since you opened the page.</p>
        <button type="button" class="primary" onClick={() => location.reload()}>
          Reload
        </button>
      </Empty>
    </>
  )
}
