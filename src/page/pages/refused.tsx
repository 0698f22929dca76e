import { PageHeader } from '../parts/page-header.tsx'
import { Empty } from '../parts/states.tsx'

/** Shown instead of a page that is for server admins. */
export function Refused() {
  return (
    <>
      <PageHeader title="Not allowed" />
      <Empty title="Only server admins can see this page">
        <a href="/repositories">See the repositories</a>
      </Empty>
    </>
  )
}
