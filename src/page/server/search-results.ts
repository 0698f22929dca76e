import { manifestPath, repositoryPath } from '../routes.ts'
import { formatBytes, visible } from '../values/format.ts'
import type { Answer } from './api.ts'

export type GroupName = 'here' | 'repositories' | 'tags' | 'manifests' | 'labels' | 'blobs'

/** Results of one kind, at least one. */
export interface ResultGroup {
  name: GroupName
  title: string
  results: Result[]
  /** Whether there may be more. */
  truncated: boolean
}

export interface Result {
  path: string
  text: string
  detail: string
}

interface Found extends Pick<Answer<'search'>, 'tags' | 'manifests' | 'labels'> {
  repositories: { items: { name: string; bytes: number }[]; truncated: boolean }
}

/** Returns the groups of an answer that have results. Tags that are `known` from elsewhere are left out. */
export function groupsOf({ repositories, tags, manifests, labels }: Found, known: readonly Result[] = []) {
  const paths = new Set(known.map(({ path }) => path))
  const groups: ResultGroup[] = [
    {
      name: 'repositories',
      title: 'Repositories',
      truncated: repositories.truncated,
      results: repositories.items.map(({ name, bytes }) => ({
        path: repositoryPath(name),
        text: name,
        detail: formatBytes(bytes),
      })),
    },
    {
      name: 'tags',
      title: 'Tags',
      truncated: tags.truncated,
      results: tags.items
        .map(({ repository, name, kind }) => tagResult(repository, name, kind))
        .filter(({ path }) => !paths.has(path)),
    },
    {
      name: 'manifests',
      title: 'Digests',
      truncated: manifests.truncated,
      results: manifests.items.map(({ repository, digest, kind }) => ({
        path: manifestPath(repository, digest),
        text: shortReference(repository, digest),
        detail: kind,
      })),
    },
    {
      name: 'labels',
      title: 'Labels',
      truncated: labels.truncated,
      results: labels.items.map(({ repository, digest, tag, label }) => ({
        path: manifestPath(repository, tag ?? digest),
        text: tag === null ? shortReference(repository, digest) : `${repository}:${tag}`,
        detail: visible(label),
      })),
    },
  ]
  return groups.filter(({ results }) => results.length > 0)
}

export function tagResult(repository: string, tag: string, kind: string): Result {
  return { path: manifestPath(repository, tag), text: `${repository}:${tag}`, detail: kind }
}

/** Returns `REPOSITORY@DIGEST` with the first characters of the digest. */
export function shortReference(repository: string, digest: string): string {
  return `${repository}@${digest.slice(0, 19)}`
}
