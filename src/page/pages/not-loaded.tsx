import { useEffect } from 'preact/hooks'
import { PageHeader } from '../parts/page-header.tsx'
import { Empty } from '../parts/states.tsx'
import { isOffline } from '../server/api.ts'
import { checkConnection } from '../server/live.ts'

/**
 * Shown instead of a page whose code could not be loaded, such as after an upgrade of the server. If that is because the
 * server cannot be reached, the page is loaded again as soon as it can.
 */
export function NotLoaded() {
  useEffect(() => {
    checkConnection().catch(() => {})
    let wasOffline = isOffline.peek()
    return isOffline.subscribe((isNow) => {
      if (wasOffline && !isNow) location.reload()
      wasOffline = isNow
    })
  }, [])
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
