import { useSignal } from '@preact/signals'
import { Fingerprint, FolderGit2, type LucideIcon, Tag } from 'lucide-preact'
import { useLocation } from 'preact-iso'
import { call } from './api.ts'
import { formatBytes } from './format.ts'
import { Dialog } from './parts/dialog.tsx'
import { neighbourOf } from './parts/row-focus.ts'
import { Failure } from './parts/states.tsx'
import { useResource } from './resource.ts'
import { manifestPath, parseRepositoryPath, repositoryPath } from './routes.ts'
import { caller } from './session.ts'

const RESULTS_MAX = 8

/** In how many repositories tags are searched. */
const REPOSITORIES_MAX = 4

interface Result {
  path: string
  name: string
  detail: string
  icon: LucideIcon
}

/** Finds repositories, tags (`name:tag`) and, for admins, digests as you type. */
export function SearchDialog({ onClose }: { onClose: () => void }) {
  const text = useSignal('')
  const { route, path } = useLocation()
  const { name: current } = parseRepositoryPath(path)
  const q = text.value.trim()
  const found = useResource(`search ${q}`, (signal) => search(q, current, signal))
  const results = found.data ?? []
  const submit = (event: Event) => {
    event.preventDefault()
    const [first] = results
    if (first === undefined) return
    onClose()
    route(first.path)
  }
  return (
    <Dialog title="Search" onClose={onClose}>
      <form class="search" onSubmit={submit}>
        <input
          type="search"
          autoFocus
          aria-label="Search repositories, tags and digests"
          placeholder="repository, repository:tag or digest"
          value={text}
          onInput={({ currentTarget }) => {
            text.value = currentTarget.value
          }}
          onKeyDown={focusFirst}
        />
      </form>
      <ul class="results" onKeyDown={moveFocus}>
        {results.map(({ path, name, detail, icon: Icon }) => (
          <li key={path}>
            <a href={path} onClick={onClose}>
              <Icon aria-hidden /> <span>{name}</span> <small>{detail}</small>
            </a>
          </li>
        ))}
      </ul>
      {found.error && <Failure error={found.error} retry={found.reload} />}
      {found.data && results.length === 0 && <p class="muted">Nothing found</p>}
    </Dialog>
  )
}

/** Searches for what a text may mean: a digest, a tag of named repositories, or a repository or a tag of the current one. */
async function search(q: string, current: string, signal: AbortSignal): Promise<Result[]> {
  if (/^(sha256:)?[0-9a-f]{6,64}$/.test(q) && caller.value?.admin) return await searchDigests(q, signal)
  const colon = q.lastIndexOf(':')
  if (colon !== -1) return await searchTags(q.slice(0, colon), q.slice(colon + 1), signal)
  const [repositories, tags] = await Promise.all([
    call('get', 'repositories', { query: { q, limit: RESULTS_MAX }, signal }),
    q === '' || current === '' ? [] : tagsOf(current, q, signal).catch(() => []),
  ])
  const found = repositories.items.map(({ name, bytes }) => ({
    path: repositoryPath(name),
    name,
    detail: formatBytes(bytes),
    icon: FolderGit2,
  }))
  return [...tags, ...found].slice(0, RESULTS_MAX)
}

async function tagsOf(repository: string, q: string, signal: AbortSignal): Promise<Result[]> {
  const params = { repository }
  const query = { q, limit: RESULTS_MAX }
  const { items } = await call('get', 'repositories/:repository/tags', { params, query, signal })
  return items.map(({ name, kind }) => ({
    path: manifestPath(repository, name),
    name: `${repository}:${name}`,
    detail: kind,
    icon: Tag,
  }))
}

async function searchTags(name: string, tag: string, signal: AbortSignal): Promise<Result[]> {
  const { items } = await call('get', 'repositories', { query: { q: name, limit: REPOSITORIES_MAX }, signal })
  const found = await Promise.all(items.map(({ name: repository }) => tagsOf(repository, tag, signal)))
  return found.flat().slice(0, RESULTS_MAX)
}

/** Finds the repositories that have a digest: its manifest, or else a blob. */
async function searchDigests(q: string, signal: AbortSignal): Promise<Result[]> {
  const prefix = q.startsWith('sha256:') ? q : `sha256:${q}`
  const { items } = await call('get', 'digests', { query: { prefix }, signal })
  const found = await Promise.all(
    items.slice(0, RESULTS_MAX).map(async (digest) => {
      const { items: reasons } = await call('get', 'gc/explain', { query: { digest }, signal })
      return reasons.map(({ repository, kind }) => ({
        path: kind === 'manifest' ? manifestPath(repository, digest) : repositoryPath(repository),
        name: `${repository}@${digest.slice(0, 19)}`,
        detail: kind,
        icon: Fingerprint,
      }))
    }),
  )
  return found.flat().slice(0, RESULTS_MAX)
}

/** Moves from the field to the first result. */
function focusFirst(event: KeyboardEvent): void {
  if (event.key !== 'ArrowDown') return
  event.preventDefault()
  const dialog = (event.target as Element).closest('dialog')
  dialog?.querySelector<HTMLElement>('.results a')?.focus()
}

function moveFocus(event: KeyboardEvent): void {
  const item = (event.target as Element).closest('li')
  const next = neighbourOf(item, event.key)
  const link = next?.querySelector('a')
  if (!link) return
  event.preventDefault()
  link.focus()
}
