import { Fingerprint, FolderGit2, type LucideIcon, Tag, Tags } from 'lucide-preact'
import { useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { Dialog } from './parts/forms/dialog.tsx'
import { Failure } from './parts/states.tsx'
import { manifestPath, parseRepositoryPath, repositoryPath } from './routes.ts'
import { call } from './server/api.ts'
import { useResource } from './server/resource.ts'
import {
  type GroupName,
  groupsOf,
  type Result,
  type ResultGroup,
  shortReference,
  tagResult,
} from './server/search-results.ts'
import { caller } from './server/session.ts'

/** How many entries a group shows at most that is not an answer of the search. */
const RESULTS_MAX = 8

const DIGEST_PREFIX = /^(sha256:|sha512:)?[0-9a-f]{6,128}$/

const ICONS: Record<GroupName, LucideIcon> = {
  here: Tag,
  repositories: FolderGit2,
  tags: Tag,
  manifests: Fingerprint,
  labels: Tags,
  blobs: Fingerprint,
}

/** Finds repositories, tags and digests as you type. */
export function SearchDialog({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('')
  const { route, path } = useLocation()
  const { name: current } = parseRepositoryPath(path)
  const q = text.trim()
  const found = useResource(`search ${q}`, (signal) => search(q, current, signal))
  const groups = found.data ?? []
  const submit = (event: Event) => {
    event.preventDefault()
    const [first] = groups
    const [result] = first?.results ?? []
    if (result === undefined) return
    onClose()
    route(result.path)
  }
  return (
    <Dialog title="Search" onClose={onClose}>
      <form class="search" onSubmit={submit}>
        <input
          type="search"
          autoFocus
          aria-label="Search repositories, tags, digests and labels"
          placeholder="repository, tag, repository:tag, digest or label"
          maxLength={400}
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
          onKeyDown={focusFirst}
        />
      </form>
      {groups.map((group) => (
        <Group key={group.name} group={group} onClose={onClose} />
      ))}
      {found.error && <Failure error={found.error} retry={found.reload} />}
      {found.data && groups.length === 0 && <p class="muted">Nothing found</p>}
    </Dialog>
  )
}

function Group({ group, onClose }: { group: ResultGroup; onClose: () => void }) {
  const { name, title, results, truncated } = group
  const Icon = ICONS[name]
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <ul class="results" onKeyDown={moveFocus}>
        {results.map(({ path, text, detail }) => (
          <li key={path}>
            <a href={path} onClick={onClose}>
              <Icon aria-hidden /> <span>{text}</span> <small>{detail}</small>
            </a>
          </li>
        ))}
      </ul>
      {truncated && <p class="muted">There may be more. Type more to narrow the search</p>}
    </section>
  )
}

/** Searches everything that the caller may see, and the current repository for tags that contain the text. */
async function search(q: string, current: string, signal: AbortSignal): Promise<ResultGroup[]> {
  if (q === '') return await firstRepositories(signal)
  const [found, here] = await Promise.all([
    call('get', 'search', { query: { q }, signal }),
    current === '' ? [] : tagsOf(current, q, signal).catch(() => []),
  ])
  const groups = groupsOf(found, here)
  if (here.length > 0)
    groups.unshift({ name: 'here', title: `Tags of ${current}`, results: here, truncated: false })
  if (found.manifests.items.length > 0 || !caller.value?.admin || !DIGEST_PREFIX.test(q)) return groups
  const blobs = await searchBlobs(q, signal)
  if (blobs.length > 0) groups.push({ name: 'blobs', title: 'Blobs', results: blobs, truncated: false })
  return groups
}

/** Shows some repositories before anything is typed. */
async function firstRepositories(signal: AbortSignal): Promise<ResultGroup[]> {
  const { items } = await call('get', 'repositories', { query: { limit: RESULTS_MAX }, signal })
  const none = { items: [], truncated: false }
  return groupsOf({ repositories: { items, truncated: false }, tags: none, manifests: none, labels: none })
}

async function tagsOf(repository: string, q: string, signal: AbortSignal): Promise<Result[]> {
  const params = { repository }
  const query = { q, limit: RESULTS_MAX }
  const { items } = await call('get', 'repositories/:repository/tags', { params, query, signal })
  return items.map(({ name, kind }) => tagResult(repository, name, kind))
}

/** Finds the repositories that have a blob, for server admins. */
async function searchBlobs(q: string, signal: AbortSignal): Promise<Result[]> {
  const prefix = q.includes(':') ? q : `sha256:${q}`
  const { items } = await call('get', 'digests', { query: { prefix }, signal })
  const found = await Promise.all(
    items.slice(0, RESULTS_MAX).map(async (digest) => {
      const { items: reasons } = await call('get', 'gc/explain', { query: { digest }, signal })
      return reasons.map(({ repository, kind }) => ({
        path: kind === 'manifest' ? manifestPath(repository, digest) : repositoryPath(repository),
        text: shortReference(repository, digest),
        detail: kind,
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

/** Moves to the result before or after with the arrow keys, also from one group to another. */
function moveFocus(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
  if (step === undefined) return
  const target = event.target as HTMLElement
  const links = [...(target.closest('dialog')?.querySelectorAll<HTMLElement>('.results a') ?? [])]
  const next = links[links.indexOf(target) + step]
  if (next === undefined) return
  event.preventDefault()
  next.focus()
}
