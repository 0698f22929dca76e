import { useState } from 'preact/hooks'
import { fetchText, urlOf } from '../../server/api.ts'
import { useResource } from '../../server/resource.ts'
import { Shown } from '../states.tsx'
import { CopyButton } from '../tables/values.tsx'
import { JsonTree } from './json-tree.tsx'

/** A manifest that is longer opens one level at a time, so that the page stays fast. */
const LARGE_CHARACTERS = 64 * 1024

/** The most that is read of a manifest, in bytes; the server allows less. */
const MANIFEST_BYTES_MAX = 16 * 1024 * 1024

/** The manifest as it was pushed, read when it is opened. */
export function RawManifest({ repository, digest }: { repository: string; digest: string }) {
  const [isOpen, setOpen] = useState(false)
  const url = urlOf('repositories/:repository/manifests/:reference/raw', {
    params: { repository, reference: digest },
  })
  const found = useResource(isOpen ? url : undefined, (signal) => fetchText(url, signal, MANIFEST_BYTES_MAX))
  return (
    <details class="card" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        <h2>Raw JSON</h2>
      </summary>
      {isOpen && (
        <Shown of={found}>
          {(text) => (
            <div class="raw">
              <CopyButton text={text} what="JSON" />
              <JsonTree of={parse(text)} openLevels={text.length > LARGE_CHARACTERS ? 1 : 3} />
            </div>
          )}
        </Shown>
      )}
    </details>
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
