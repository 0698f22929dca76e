import { useSignal } from '@preact/signals'
import { FolderGit2 } from 'lucide-preact'
import { useLocation } from 'preact-iso'
import { call } from './api.ts'
import { formatBytes } from './format.ts'
import { Dialog } from './parts/dialog.tsx'
import { useResource } from './resource.ts'
import { repositoryPath } from './routes.ts'

const RESULTS_MAX = 8

/** Finds repositories as you type. */
export function SearchDialog({ onClose }: { onClose: () => void }) {
  const text = useSignal('')
  const { route } = useLocation()
  const q = text.value.trim()
  const found = useResource(`search ${q}`, (signal) =>
    call('get', 'repositories', { query: { q, limit: RESULTS_MAX }, signal }),
  )
  const items = found.data?.items ?? []
  const open = (path: string) => {
    onClose()
    route(path)
  }
  const submit = (event: Event) => {
    event.preventDefault()
    const [first] = items
    if (first) open(repositoryPath(first.name))
  }
  return (
    <Dialog title="Search" onClose={onClose}>
      <form class="search" onSubmit={submit}>
        <input
          type="search"
          autoFocus
          aria-label="Search repositories"
          placeholder="Repository"
          value={text}
          onInput={({ currentTarget }) => {
            text.value = currentTarget.value
          }}
        />
      </form>
      <ul class="results" onKeyDown={moveFocus}>
        {items.map(({ name, bytes }) => (
          <li key={name}>
            <a href={repositoryPath(name)} onClick={onClose}>
              <FolderGit2 aria-hidden /> <span>{name}</span> <small>{formatBytes(bytes)}</small>
            </a>
          </li>
        ))}
      </ul>
      {found.data && items.length === 0 && <p class="muted">Nothing found</p>}
    </Dialog>
  )
}

function moveFocus(event: KeyboardEvent): void {
  const item = (event.target as Element).closest('li')
  const next =
    event.key === 'ArrowDown'
      ? item?.nextElementSibling
      : event.key === 'ArrowUp'
        ? item?.previousElementSibling
        : null
  const link = next?.querySelector('a')
  if (!link) return
  event.preventDefault()
  link.focus()
}
