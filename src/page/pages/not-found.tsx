import { PageHeader } from '../parts/page-header.tsx'
import { Empty } from '../parts/states.tsx'

/** Shown for a path that no page has. */
export function NotFound() {
  return (
    <>
      <PageHeader title="Not found" />
      <Empty title="There is no such page">
        <a href="/repositories">See the repositories</a>
      </Empty>
    </>
  )
}
