import type { Answer } from '../../http/admin/answers.ts'
import type { Result } from '../output/answer.ts'
import { formatBytes, formatTime } from '../output/format.ts'
import type { Terminal } from '../output/terminal.ts'
import { apiPath, withQuery } from '../remote/admin-client.ts'
import { plural } from '../remote/requests.ts'
import type { Call } from '../verb.ts'

type Purgeable = Answer<'gc/purge'>
type Purged = Answer<'gc/purge', 'post'>

/** Reports whether a purge would delete nothing. */
export function isNothing({ repositoryCount, manifestCount, truncated }: Purgeable): boolean {
  return !truncated && repositoryCount + manifestCount === 0
}

/** Says what a purge will delete and asks for confirmation. */
export async function confirmPurge(
  { confirm }: Pick<Call, 'confirm'>,
  counted: readonly Purgeable[],
  where: string,
): Promise<void> {
  const sum = (numberOf: (one: Purgeable) => number) => counted.reduce((all, one) => all + numberOf(one), 0)
  const things = [
    [sum((one) => one.repositoryCount), 'deleted repository'],
    [sum((one) => one.manifestCount), 'deleted or untagged manifest'],
  ] as const
  const named = things.filter(([count]) => count > 0).map(([count, one]) => plural(count, one))
  const bytes = counted.every((one) => one.bytes !== undefined)
    ? ` (${formatBytes(sum((one) => one.bytes ?? 0))})`
    : ''
  const more = counted.some(({ truncated }) => truncated) ? ', or more' : ''
  await confirm(`permanently deletes ${named.join(' and ')}${where}${bytes}${more}, without a way to restore`)
}

/** Purges a repository, or manifests of it. */
export async function purgeRepository(
  call: Call,
  repository: string,
  digests: readonly string[],
): Promise<Result> {
  const { client } = call
  const path = `${apiPath('repositories', repository)}/purge`
  const targets = digests.length === 0 ? [undefined] : digests
  const counted: Purgeable[] = []
  for (const digest of targets) counted.push(await client.request('GET', withQuery(path, { digest })))
  if (counted.every(isNothing))
    return { value: counted[0], line: `nothing to purge: ${repository} has no deleted or untagged manifests` }
  await confirmPurge(call, counted, ` in ${repository}`)
  const done: Purged[] = []
  for (const digest of targets)
    done.push(await client.request('POST', path, digest === undefined ? {} : { digest }))
  const value = {
    ...done.at(-1),
    repositoryCount: done.reduce((sum, one) => sum + one.repositoryCount, 0),
    manifestCount: done.reduce((sum, one) => sum + one.manifestCount, 0),
  }
  return { value, line: `purged ${repository}: ${resultOf(value, call.terminal)}` }
}

/** Purges all repositories. Returns what was purged, and when its space is free, in words. */
export async function purgeAll({ client, terminal }: Call): Promise<string> {
  return resultOf(await client.request<Purged>('POST', '/gc/purge'), terminal)
}

function resultOf({ repositoryCount, manifestCount, heldUntil }: Purged, terminal: Terminal): string {
  const things = [
    [repositoryCount, 'repository'],
    [manifestCount, 'manifest'],
  ] as const
  const named = things.filter(([count]) => count > 0).map(([count, one]) => plural(count, one))
  const counts = named.join(' and ') || 'nothing'
  return heldUntil === undefined
    ? `${counts}; the space is freed now`
    : `${counts}; content that a push in progress may refer to is freed by ${formatTime(heldUntil, terminal)}`
}
